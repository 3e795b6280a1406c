"""A control (arXiv 2602.14111): decoder rows may move, but not far from the random ones they began as."""

from dataclasses import dataclass
from typing import Annotated

import torch

from faithful.base.shapes import Between
from faithful.sae.variant import State, Variant, Weights


@dataclass(frozen=True)
class SoftFrozen(Variant):
    """TopK whose decoder rows are brought back after every step to a least cosine with their start.

    Attributes:
        cosine: the least.
    """

    stays = True
    control = True
    cosine: Annotated[float, Between(0, 1)] = 0.8

    def memory(self, d_in: int, d_sae: int) -> int:
        """See `Variant`."""
        return 4 * d_in * d_sae

    def begin(self, weights: Weights) -> State:
        """See `Variant`."""
        return {"start": weights.W_dec.clone()}

    def project(self, weights: Weights, state: State) -> None:
        """See `Variant`: the row keeps the direction in which it left, at the angle that is allowed."""
        start, rows = state["start"], weights.W_dec
        along = torch.linalg.vecdot(rows, start)[:, None]
        # Of the row's part across its start, which has length √(1 − along²), as much as is allowed; the rest is start.
        kept = (1 - self.cosine**2) ** 0.5 / (1 - along.square()).clamp_min(1e-12).sqrt()
        far = along < self.cosine
        rows.mul_(torch.where(far, kept, 1)).addcmul_(torch.where(far, self.cosine - kept * along, 0), start)


VARIANT = SoftFrozen
