"""How much text a study reads unless it is told; what it is asked for its cost with, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass

Size = Callable[[str, int], int]
"""What a setting is where nobody states it, by the device (`cpu` or `cuda`) and the tokens of a context."""


def by_device(cpu: int, cuda: int) -> Size:
    """A size that the device alone decides."""
    return lambda device, context: cpu if device == "cpu" else cuda


panel_tokens = by_device(30_000, 200_000)
"""Tokens of the panel in all."""


@dataclass(frozen=True)
class Work:
    """What the studies of a recipe work on; per token two FLOPs per weight, and the SAEs'.

    Attributes:
        device: `cpu` or `cuda`.
        context: tokens per context, BOS included.
        tokens: training tokens of each corpus.
        batch: most activations of a training step.
        corpora, trained: how many corpora there are, and on how many SAEs are trained.
        seeds: init seeds of the SAEs.
        d_model: width of the activations.
        shapes: width and k of the SAEs of each variant.
        full, forward: FLOPs per token of the whole model, and of it up to the hook.
        step: FLOPs per token of training all SAEs of one corpus.
    """

    device: str
    context: int
    tokens: int
    batch: int
    corpora: int
    trained: int
    seeds: int
    d_model: int
    shapes: tuple[tuple[int, int], ...]
    full: float
    forward: float
    step: float

    @property
    def saes(self) -> int:
        """SAEs in all."""
        return self.trained * self.seeds * len(self.shapes)

    @property
    def encode(self) -> float:
        """FLOPs per token of the codes of all SAEs."""
        return self.trained * sum(self.seeds * 2.0 * self.d_model * d_sae for d_sae, _ in self.shapes)


@dataclass(frozen=True)
class StudyCost:
    """What a study takes.

    Attributes:
        tokens: that the model reads.
        flops: on the device.
        seconds: on the CPU whatever the device is, beside them.
    """

    tokens: int
    flops: float
    seconds: float = 0.0
