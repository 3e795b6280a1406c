"""Founding record 001, adaptive feature sharing: how much relatives may share follows from one threshold of the error."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.parts.grouped import Grouped
from faithful.sae.parts.overlaps import excess_overlap
from faithful.sae.variant import Batch, Phase, State

KNEE, SLOPE = 0.25, 0.5


@dataclass(frozen=True)
class Sharing(Grouped):
    """TopK whose penalty on overlaps sets in when reconstruction is good, together with what a group may share.

    With e the running fvu and s = clamp((θ − e)/θ, 0, 1), the penalty has weight · s, and a group may share alpha ·
    clamp((s − 1/4)/(1/2), 0, 1). alpha 0 is the record's strict form.

    Attributes:
        theta: θ: with TopK's final fvu above half of it, nothing is ever shared; two to two and a half times that works.
    """

    weight: Annotated[float, Between(0)] = 0.01
    theta: Annotated[float, Between(0.001, 2)] = 0.3

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """See `Variant`."""
        return Phase(k, auxk, self.weight)

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        good = ((self.theta - batch.fvu) / self.theta).clamp(0, 1)
        alpha = self.alpha * ((good - KNEE) / SLOPE).clamp(0, 1)
        return good * excess_overlap(batch.W_dec, state["groups"], alpha, self.sampled(batch))


VARIANT = Sharing
