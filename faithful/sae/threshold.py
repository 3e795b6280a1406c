"""SAEs whose latents fire above a threshold of their own: ReLU, JumpReLU and what is exported as that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from faithful.sae.autoencoder import TENSORS, Autoencoder


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
        architecture: `standard`, `jumprelu`, `gated`, or what it was trained as.
        k: None, since the number of active latents is free.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    threshold: Tensor
    metadata: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = "standard"
    k: None = None

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "ThresholdSAE":
        """The same elsewhere or in another type."""
        moved = {name: getattr(self, name).to(device=device, dtype=dtype) for name in (*TENSORS, "threshold")}
        return replace(self, **moved)

    def encode(self, x: Tensor) -> Tensor:
        """Codes [..., d_sae] (≥ 0) of x [..., d_in]."""
        scores = self.pre_activations(x)
        return scores.relu() * (scores > self.threshold)
