"""A TopK sparse autoencoder as plain tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from faithful.sae.buffers import SCORES, chunks
from faithful.sae.sparse import top_k


@dataclass
class TopKSAE(Autoencoder):
    """f = ReLU(TopK_k(pre-activations)): latents that the ReLU zeroes are not active.

    Attributes:
        W_enc: [d_in, d_sae].
        b_enc: [d_sae].
        W_dec: [d_sae, d_in].
        b_dec: [d_in].
        k: latents kept per token.
        metadata: where it comes from, in SAELens' words.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def activation(self) -> str:
        """`topk`."""
        return "topk"

    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values [..., k] (≥ 0, in no order) and latents [..., k] (int64) of x [..., d_in]."""
        flat = x.reshape(-1, self.d_in)
        slices = chunks(len(flat), SCORES // self.d_sae, flat.device) or [slice(0)]
        found = [top_k(self.pre_activations(flat[part]), self.k) for part in slices]
        shape = (*x.shape[:-1], self.k)
        values, latents = (torch.cat(pieces).view(shape) for pieces in zip(*found, strict=True))
        return values.relu(), latents

    def encode(self, x: Tensor) -> Tensor:
        """Dense codes [..., d_sae] of x [..., d_in]."""
        values, latents = self.encode_sparse(x)
        return values.new_zeros(*x.shape[:-1], self.d_sae).scatter_(-1, latents, values)

    def reconstruct(self, x: Tensor) -> Tensor:
        """x̂ [..., d_in] of x [..., d_in]."""
        return self.decode_sparse(*self.encode_sparse(x))
