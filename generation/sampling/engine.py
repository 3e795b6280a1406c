"""What an engine is: requests in, finished samples out, each sample a function of its seed.

Two engines speak this protocol: `generation.sampling.vllm_engine` and `generation.sampling.transformers_engine`;
`generation.own.engines` has them by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Request:
    """One sample to draw: its index in the split and its seed."""

    index: int
    seed: int


@dataclass(frozen=True)
class Sample:
    """A finished sample.

    Attributes:
        index, seed: those of the request.
        token_ids: sampled tokens, a closing end-of-text included, BOS not.
        finish_reason: `stop` or `length`.
        logprob_p: log p of each token under the model (before temperature and truncation), nats.
        logprob_q: log q of each token where q ≠ p and the engine computes it, else None.
    """

    index: int
    seed: int
    token_ids: list[int]
    finish_reason: str
    logprob_p: list[float]
    logprob_q: list[float] | None


class Engine(Protocol):
    """Draws samples. `requests` is pulled whenever there is room, so a lazy iterator keeps the engine full.

    Attributes:
        told: called after every decoding step with the number of tokens of the samples in flight.
    """

    told: Callable[[int], None]

    def run(self, requests: Iterator[Request]) -> Iterator[Sample]:
        """Yield samples as they finish, in the engine's own order; closing the iterator drops those in flight."""
        ...


@dataclass(frozen=True)
class EngineSettings:
    """How the engine runs: everything here decides the bytes and is part of the identity.

    Attributes:
        name: `vllm` or `transformers`.
        device: `cpu` or `cuda`.
        threads: threads per worker on a CPU.
        slots: samples in flight per worker.
        shard_rows: samples per shard.
        deterministic: drain at each shard's border, so that a shard's bytes depend on its range alone.
        tensor_parallel: GPUs of a worker, over which vLLM spreads the model.
    """

    name: str
    device: str
    threads: int
    slots: int
    shard_rows: int
    deterministic: bool
    tensor_parallel: int = 1


def unheard(tokens: int) -> None:
    """An engine's `told` until somebody wants to know: does nothing."""
