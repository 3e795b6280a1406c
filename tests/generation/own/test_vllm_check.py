"""Whether vLLM computes what transformers computes: the reference text, and what a difference leads to (no vLLM needed)."""

import os
import signal as signals
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from generation.own import vllm_check
from generation.own.vllm_check import Reference, _refer, reference, refuse_other_probabilities
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.sampling.vllm_engine import keep_float32
from generation.scoring.rounding import EXACT, ROUNDED
from generation.scoring.scorer import Scorer

SETTINGS = EngineSettings("vllm", "cpu", 1, 8, 64, False)
IDS = np.arange(40) + 30
LOG_P = np.linspace(-6, -1, 40)


def engine(log_p: np.ndarray) -> Any:
    """A vLLM that gives these log-probabilities."""
    return SimpleNamespace(spec=SimpleNamespace(name="some model"), log_p=lambda token_ids: log_p)


def test_rounding_is_no_difference() -> None:
    refuse_other_probabilities(engine(LOG_P + 5e-4), Reference(IDS, LOG_P, EXACT))
    refuse_other_probabilities(engine(LOG_P + 0.2), Reference(IDS, LOG_P, ROUNDED))
    refuse_other_probabilities(engine(LOG_P + 9), None)


def test_a_switch_on_the_way_is_refused_with_the_length_before_it() -> None:
    """As with a window that one of the two takes for one token longer."""
    other = LOG_P.copy()
    other[17:] += 0.3
    with pytest.raises(
        FaithfulError, match=r"disagree on some model: .* by 0\.3 nats .* from token 18 .* --max-tokens 17\."
    ):
        refuse_other_probabilities(engine(other), Reference(IDS, LOG_P, EXACT))


@pytest.mark.parametrize("log_p", [LOG_P + 0.5, LOG_P * np.nan], ids=["everywhere", "nan"])
def test_a_difference_from_the_start_leaves_the_other_engine(log_p: np.ndarray) -> None:
    with pytest.raises(FaithfulError, match=r"use --engine transformers\.$"):
        refuse_other_probabilities(engine(log_p), Reference(IDS, LOG_P, ROUNDED))


def test_the_reference_is_as_long_as_a_sample_and_scored_in_one_pass(
    family_model: Callable[[str], tuple[ModelSpec, Any]],
) -> None:
    spec, model = family_model("mistral")
    known = reference(spec, Sampling(max_tokens=60), SETTINGS)
    assert known is not None
    assert len(known.token_ids) == 59 > model.config.sliding_window
    assert known.cap == EXACT
    np.testing.assert_allclose(known.log_p, Scorer(model, spec, Sampling()).log_p([known.token_ids]), atol=1e-4)


@pytest.mark.parametrize(("signal", "is_memory"), [("SIGKILL", True), ("SIGSEGV", False), (None, False)])
def test_only_what_the_system_kills_lacked_memory(
    signal: str | None, is_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_check, "_refer", partial(break_off, signal))
    spec: Any = SimpleNamespace(name="some model")
    if is_memory:
        assert reference(spec, Sampling(max_tokens=60), SETTINGS) is None
        return
    with pytest.raises(
        FaithfulError, match=r"some model with transformers.* broke off \(exit code -?\d+\); use --engine"
    ):
        reference(spec, Sampling(max_tokens=60), SETTINGS)


def break_off(name: str | None, *_: Any) -> None:
    """Main function of a process that ends without an answer."""
    os.kill(os.getpid(), getattr(signals, name)) if name else os._exit(3)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (IndexError("index 8 is out of range"), "cannot score some model: IndexError: index 8 is out of range; use"),
        (RuntimeError("CUDA error: out of memory"), None),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), None),
    ],
)
def test_only_a_lack_of_memory_passes_without_a_reference(
    error: Exception, sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: Any) -> None:
        raise error

    monkeypatch.setattr("faithful.models.load.load_model", load)
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    said: list[Any] = []
    connection: Any = SimpleNamespace(send=said.append, close=lambda: None)
    spec: Any = SimpleNamespace(name="some model")
    _refer(connection, spec, 8, SETTINGS)
    assert said == [None] if sent is None else sent in said[0]


def test_float32_is_float32_in_tritons_products_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of models in 16 bit keep theirs, which are faster."""
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    keep_float32("bfloat16")
    assert "TRITON_F32_DEFAULT" not in environment
    keep_float32("float32")
    assert environment["TRITON_F32_DEFAULT"] == "ieee"
