"""Founding record 002, orthogonal TopK with controlled sharing: groups apart from each other, relatives within α."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.parts.grouped import GROUPING, Grouped
from faithful.sae.parts.overlaps import conditions, excess_overlap
from faithful.sae.parts.schedules import ramp
from faithful.sae.variant import Batch, Phase, State, Weights

LOOKS = 50


@dataclass(frozen=True)
class Orthogonal(Grouped):
    """TopK with a penalty on overlaps that rises over the first steps and stops where groups become degenerate.

    Attributes:
        ramp: share of the training over which the weight rises from 0.
        by_error: weigh the penalty also by clamp(1 − fvu/θ, 0, 1), with the running fvu: the record's adaptive form.
        theta: that θ.
        stop: largest median over groups of the condition number of W_g W_gᵀ, as a multiple of what random rows have (the
            Marchenko–Pastur edge), beyond which the penalty ends for good; groups as large as the dimensions have none.
        one_bias: latents of a group share one encoder bias, the mean of theirs after every step. So the record's group biases
            fit a file: a decoder bias that is added where a group fires has no place in any.
    """

    alpha: Annotated[float, Between(0, 0.999999)] = 0.1
    ramp: Annotated[float, Between(0, 1)] = 0.1
    by_error: bool = False
    theta: Annotated[float, Between(0.001, 2)] = 0.5
    stop: Annotated[float, Between(0)] = 100.0
    one_bias: bool = False

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """See `Variant`."""
        return Phase(k, auxk, self.weight * ramp(fraction + 1e-9, self.ramp))

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        like = weights.b_enc
        return super().begin(weights) | {"condition": like.new_tensor(0.0), "pressed": like.new_tensor(1.0)}

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        overlap = excess_overlap(batch.W_dec, state["groups"], self.alpha, self.sampled(batch))
        eagerness = (1 - batch.fvu / self.theta).clamp(0, 1) if self.by_error else 1.0
        return state["pressed"] * eagerness * overlap

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`: groups are looked at fifty times in a training."""
        super().observe(batch, state)
        if batch.fraction > GROUPING[0] and batch.step % max(1, batch.steps // LOOKS) == 0:
            self._watch(batch, state)

    def _watch(self, batch: Batch, state: State) -> None:
        found = conditions(batch.W_dec, state["groups"])
        if len(found):
            state["condition"].copy_(torch.median(found))
            state["pressed"].mul_(state["condition"] <= self.stop)

    def project(self, weights: Weights, state: State) -> None:
        """See `Variant`."""
        if not self.one_bias:
            return
        groups, biases = state["groups"], weights.b_enc
        members = torch.nn.functional.one_hot(groups + 1, self.groups + 1)[:, 1:].to(biases.dtype)
        means = members.T @ biases / members.sum(0).clamp_min(1)
        biases.copy_(torch.where(groups >= 0, members @ means, biases))

    def report(self, state: State) -> dict[str, float]:
        """See `Variant`."""
        return {"condition_over_edge": float(state["condition"]), "pressed": float(state["pressed"])}


VARIANT = Orthogonal
