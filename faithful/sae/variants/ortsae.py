"""OrtSAE (arXiv 2509.22033): within random chunks, no decoder row may be too close to another."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from faithful.base.shapes import Between
from faithful.sae.variant import Batch, State, Variant


@dataclass(frozen=True)
class OrtSAE(Variant):
    """TopK with the mean over latents of the squared cosine with the nearest other one of its chunk.

    Attributes:
        weight: of that mean, beside fvu.
        chunk: latents of a chunk; chunks are drawn anew in every step, and the cost is linear in d_sae.
    """

    weight: Annotated[float, Between(0)] = 0.25
    chunk: Annotated[int, Between(2, 8192)] = 256

    def objective(self, batch: Batch, state: State) -> Tensor:
        """See `Variant`."""
        d_sae = len(batch.W_dec)
        order = torch.from_numpy(batch.generator().permutation(d_sae)).to(batch.W_dec.device)
        # Rows have length 1. Which is nearest is found without gradients, so that these cost a pass over the rows.
        held, every = batch.W_dec.detach(), torch.arange(d_sae, device=order.device)
        nearest = every.clone()
        for latents in order.split(self.chunk):
            rows = held.index_select(0, latents)
            nearest[latents] = latents[(rows @ rows.T).abs().fill_diagonal_(-1).argmax(1)]
        cosines = torch.linalg.vecdot(batch.W_dec, batch.W_dec.index_select(0, nearest))
        return (cosines.square() * (nearest != every)).sum() / d_sae


VARIANT = OrtSAE
