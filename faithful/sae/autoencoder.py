"""What every SAE here is, whatever its activation function: the one type that studies work with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from faithful.hooks.hook import Hook, parse_hook

TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec")


class Autoencoder(ABC):
    """f = activation((x − b_dec) W_enc + b_enc), x̂ = f W_dec + b_dec.

    Attributes:
        W_enc: [d_in, d_sae].
        b_enc: [d_sae].
        W_dec: [d_sae, d_in].
        b_dec: [d_in].
        k: latents kept per token; None where their number is free.
        metadata: where it comes from, in SAELens' words.
    """

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int | None
    metadata: Mapping[str, Any]

    @property
    def d_in(self) -> int:
        """Dimensions of the activations."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    @property
    def hook_name(self) -> str | None:
        """Where its activations are taken, as its file calls it; None where it does not say."""
        return self.metadata.get("hook_name")

    @property
    def hook(self) -> Hook | None:
        """What it reads: the place, with centred writing weights or without BOS where its file says so; None where the file
        names no place, or one that is none of ours."""
        place = parse_hook(self.hook_name or "")
        if place is None:
            return None
        kwargs = self.metadata.get("model_from_pretrained_kwargs") or {}
        is_centred = bool(kwargs.get("center_writing_weights"))
        return replace(place, centred=is_centred, bos=self.metadata.get("prepend_bos") is not False)

    @property
    @abstractmethod
    def architecture(self) -> str:
        """What tells SAEs of one width apart: `topk`, else as it was trained: `standard`, `batchtopk-k32`."""

    @property
    def model_name(self) -> str | None:
        """The language model; None where the file does not say."""
        return self.metadata.get("model_name")

    @abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Autoencoder":
        """The same elsewhere or in another type."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes [..., d_sae] (≥ 0) of x [..., d_in]."""

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstructions [..., d_in] of codes [..., d_sae]."""
        return codes.to(self.W_dec.dtype) @ self.W_dec + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """x̂ [..., d_in] of x [..., d_in]."""
        return self.decode(self.encode(x))

    def pre_activations(self, x: Tensor) -> Tensor:
        """(x − b_dec) W_enc + b_enc: [..., d_in] → [..., d_sae], in the SAE's type."""
        return ((x.to(self.W_enc.dtype) - self.b_dec) @ self.W_enc).add_(self.b_enc)
