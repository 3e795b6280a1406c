"""SAEs whose latents fire above a threshold of their own: ReLU, JumpReLU and what is exported as that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.buffers import SCORES


@dataclass
class ThresholdSAE(Autoencoder):
    """f = ReLU(pre-activation) where the pre-activation exceeds the threshold, else 0.

    Attributes:
        W_enc: [d_in, d_sae].
        b_enc: [d_sae].
        W_dec: [d_sae, d_in].
        b_dec: [d_in].
        threshold: [d_sae]; 0 makes a plain ReLU.
        metadata: where it comes from, in SAELens' words.
        k: None, since the number of active latents is free.
    """

    tensors: ClassVar[tuple[str, ...]] = (*TENSORS, "threshold")
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    metadata: Mapping[str, Any] = field(default_factory=dict)
    k: None = None

    @property
    def activation(self) -> str:
        """`standard` where all thresholds are 0, else `jumprelu`."""
        return "jumprelu" if bool(self.threshold.any()) else "standard"

    def encode(self, x: Tensor) -> Tensor:
        """Codes [..., d_sae] (≥ 0) of x [..., d_in]."""
        scores = self.pre_activations(x)
        return scores.relu() * (scores > self.threshold)

    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values [..., k'] (≥ 0, in no order) and latents [..., k'] (int64) of x [..., d_in]; k' is the most that fire on one
        of them, at least 1."""
        flat = x.reshape(-1, self.d_in)
        found = []
        for piece in flat.split(max(1, SCORES // self.d_sae)):
            codes = self.encode(piece)
            width = max(1, int((codes > 0).sum(1).max())) if len(codes) else 1
            found.append(tuple(torch.topk(codes, width, dim=1, sorted=False)))
        widest = max(values.shape[1] for values, _ in found)
        values, latents = (
            torch.cat([torch.nn.functional.pad(pieces[side], (0, widest - pieces[side].shape[1])) for pieces in found])
            for side in (0, 1)
        )
        shape = (*x.shape[:-1], widest)
        return values.view(shape), latents.view(shape)
