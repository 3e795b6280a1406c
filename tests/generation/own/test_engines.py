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


def test_the_cache_of_vllm_on_a_cpu_holds_all_samples_in_flight() -> None:
    """With less, samples are put off and computed again in parts, at which vLLM ends on a CPU (SmolLM2, 256 in flight)."""
    from faithful.models.spec import resolve_model
    from generation.sampling.distribution import Sampling
    from generation.sampling.vllm_engine import cpu_cache_gib, cpu_row_bytes

    row = cpu_row_bytes(resolve_model("tiny"), Sampling(max_tokens=127))
    assert row == 128 * 2 * 4 * 256 * 4  # tokens, keys and values, layers, width, float32
    assert cpu_row_bytes(resolve_model("tiny"), Sampling(max_tokens=128)) == 2 * row
    assert cpu_cache_gib(row, 64, 64 * 2**30) == 1
    smollm2 = 256 * 46_080
    gib = cpu_cache_gib(smollm2, 256, 64 * 2**30)
    assert gib == 3 and gib * 2**30 // smollm2 - 1 >= 256
    assert cpu_cache_gib(smollm2, 256, 8 * 2**30) == 2


def test_a_model_that_is_quantised_is_run_by_transformers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_vllm", lambda: True)
    assert choose_engine("auto", "cuda") == "vllm" and choose_engine("auto", "cuda", "4bit") == "transformers"
    with pytest.raises(
        FaithfulError, match=r"--load 4bit quantises a model for transformers; use --engine transformers\."
    ):
        choose_engine("vllm", "cuda", "4bit")
