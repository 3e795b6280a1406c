"""Weak weight decay in place of unit rows: a latent that is not needed shrinks instead of standing in the way."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.variant import Batch, State, Variant


@dataclass(frozen=True)
class L2(Variant):
    """TopK whose decoder rows may have any length, with a penalty on all rows.

    Attributes:
        weight: of the sum of the squares of all encoder and decoder rows, beside fvu.
    """

    unit_rows = False
    weight: Annotated[float, Between(0)] = 1e-5

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        return torch.linalg.vector_norm(batch.W_enc).square() + torch.linalg.vector_norm(batch.W_dec).square()


VARIANT = L2
