"""BatchTopK (Bussmann et al. 2024, arXiv 2412.06410): a batch shares its budget, and each token takes what it needs."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.variant import Batch, State, Variant, Weights


@dataclass(frozen=True)
class BatchTopK(Variant):
    """The N·k largest codes of a batch fire. The saved SAE fires above a threshold: the mean of the smallest code that fired.

    Attributes:
        latest: weight of the latest batch in that running mean, which is a plain mean until then.
    """

    budget = "batch"
    latest: Annotated[float, Between(1e-6, 1)] = 0.01

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        return {"threshold": weights.b_enc.new_tensor(0.0)}

    def observe(self, batch: Batch, state: State) -> None:
        """See `Variant`."""
        values = batch.codes.values
        least = torch.where(values > 0, values, torch.inf).min()
        least = torch.where(torch.isfinite(least), least, state["threshold"])
        state["threshold"].lerp_(least, max(self.latest, 1 / (batch.step + 1)))

    def threshold(self, state: State) -> Tensor:
        """See `Variant`."""
        return state["threshold"]

    def report(self, state: State) -> dict[str, float]:
        """See `Variant`."""
        return {"threshold": float(state["threshold"])}


VARIANT = BatchTopK
