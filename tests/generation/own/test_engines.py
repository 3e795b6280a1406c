"""Engines by name, and which one is taken where none is named."""

import pytest

from faithful.base.errors import FaithfulError
from generation.own import engines
from generation.own.engines import ENGINES, choose_engine


@pytest.mark.parametrize(
    ("device", "has_vllm", "chosen"),
    [("cuda", True, "vllm"), ("cuda", False, "transformers"), ("cpu", True, "transformers")],
)
def test_vllm_is_taken_where_it_and_a_gpu_are(
    monkeypatch: pytest.MonkeyPatch, device: str, has_vllm: bool, chosen: str
) -> None:
    monkeypatch.setattr(engines, "has_vllm", lambda: has_vllm)
    assert choose_engine("auto", device) == chosen
    assert choose_engine("transformers", device) == "transformers"


def test_what_cannot_be_taken_is_refused_with_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_vllm", lambda: False)
    with pytest.raises(FaithfulError, match="vLLM is not installed"):
        choose_engine("vllm", "cpu")
    with pytest.raises(FaithfulError, match="'sglang' is not an engine; choose auto, vllm or transformers"):
        choose_engine("sglang", "cpu")


def test_every_engine_states_what_a_worker_takes() -> None:
    assert all(kind.base_bytes > 2**28 and callable(kind.build) for kind in ENGINES.values())
