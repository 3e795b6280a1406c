"""Founding record 001, adaptive feature sharing: how much relatives may share follows from one threshold of the error."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.parts.grouped import GROUPING, Grouped
from faithful.sae.parts.overlaps import excess_overlap
from faithful.sae.variant import Batch, State, Weights

KNEE, SLOPE = 0.25, 0.5
EPSILON = 1e-30


@dataclass(frozen=True)
class Sharing(Grouped):
    """TopK whose penalty on overlaps sets in when reconstruction is good, together with what a group may share.

    With e the running fvu and s = clamp((θ − e)/θ, 0, 1), the penalty has weight · s, and a group may share alpha ·
    clamp((s − 1/4)/(1/2), 0, 1). alpha 0 is the record's strict form.

    Attributes:
        theta: θ. It must lie above TopK's final fvu, two to two and a half times that works: below it nothing is ever paid or
            shared, and above half of it nothing shared.
        relative: θ is in units of the running fvu at a twentieth of the training, when groups are first found, and nothing is
            paid before: for where TopK's final fvu is not known. 1 then pays from there on, and shares when a quarter of that
            fvu is gone.
    """

    weight: Annotated[float, Between(0)] = 0.01
    theta: Annotated[float, Between(0.001, 2)] = 0.3
    relative: bool = False

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        return super().begin(weights) | ({"early": weights.b_enc.new_tensor(0.0)} if self.relative else {})

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        theta = (self.theta * state["early"]).clamp_min(EPSILON) if self.relative else self.theta
        good = ((theta - batch.fvu) / theta).clamp(0, 1)
        alpha = self.alpha * ((good - KNEE) / SLOPE).clamp(0, 1)
        return good * excess_overlap(batch.W_dec, state["groups"], alpha, self.sampled(batch))

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`."""
        super().observe(batch, state)
        if self.relative and batch.step == int(GROUPING[0] * batch.steps):
            state["early"].copy_(batch.fvu)


VARIANT = Sharing
