"""The engines by name: what builds each in a worker process, held against the model before its first sample."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faithful.base.errors import FaithfulError
from faithful.base.memory import available_memory

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec
    from generation.sampling.distribution import Sampling
    from generation.sampling.engine import Engine, EngineSettings


@dataclass(frozen=True)
class EngineKind:
    """An engine that can be asked for.

    Attributes:
        build: makes it, the model loaded, in a worker's own process.
        base_bytes: memory of a worker beside weights and cache, for forecasts.
    """

    build: "Callable[[ModelSpec, Sampling, EngineSettings], Engine]"
    base_bytes: int


def _vllm(spec: "ModelSpec", sampling: "Sampling", settings: "EngineSettings") -> "Engine":
    from generation.own.vllm_check import reference, refuse_other_probabilities
    from generation.sampling.vllm_engine import VllmEngine, cpu_cache_gib, cpu_row_bytes, set_environment

    known = reference(spec, sampling, settings)
    row = cpu_row_bytes(spec, sampling) if settings.device == "cpu" else 0
    set_environment(settings, cpu_cache_gib(row, settings.slots, available_memory()))
    vllm = VllmEngine(spec, sampling, settings)
    refuse_other_probabilities(vllm, known)
    return vllm


def _transformers(spec: "ModelSpec", sampling: "Sampling", settings: "EngineSettings") -> "Engine":
    import torch

    from faithful.models.load import load_model
    from generation.scoring.self_check import checked_engine

    if settings.device == "cpu":
        torch.set_num_threads(settings.threads)
    elif settings.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
    return checked_engine(load_model(spec, settings.device), spec, sampling, settings.slots)


ENGINES = {
    "vllm": EngineKind(_vllm, 3 * 2**30),
    "transformers": EngineKind(_transformers, 700 * 2**20),
}


def has_vllm() -> bool:
    """Whether vLLM is installed (found by its module: its distribution goes by several names)."""
    return importlib.util.find_spec("vllm") is not None


def refuse_quantised(name: str, load: str | None) -> None:
    """Refuse an engine that does not quantise.

    Raises:
        FaithfulError: it is vLLM, and the model is quantised as it is loaded.
    """
    if name == "vllm" and load:
        raise FaithfulError(f"--load {load} quantises a model for transformers; use --engine transformers.")


def known_engine(name: str) -> None:
    """Refuse a name that is neither an engine nor `auto`.

    Raises:
        FaithfulError: it is neither.
    """
    if name not in ("auto", *ENGINES):
        *others, last = ENGINES
        raise FaithfulError(f"'{name}' is not an engine; choose {', '.join(['auto', *others])} or {last}.")


def choose_engine(name: str, device: str, load: str | None = None) -> str:
    """The engine to use: `auto` is vLLM where a GPU and vLLM are present and nothing is quantised, else transformers.

    Raises:
        FaithfulError: unknown name, vLLM asked for and not installed, or for a model that is quantised as it is loaded.
    """
    if name == "auto":
        return "vllm" if device == "cuda" and has_vllm() and not load else "transformers"
    known_engine(name)
    refuse_quantised(name, load)
    if name == "vllm" and not has_vllm():
        raise FaithfulError("vLLM is not installed; install it with `pip install 'faithful-sae[vllm]'`.")
    return name
