"""What every SAE here is, whatever its activation function: the one type that studies work with."""

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from faithful.hooks.hook import Hook, parse_hook
from faithful.sae.sparse import decode

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
        tensors: names of all that it computes with.
    """

    tensors: ClassVar[tuple[str, ...]] = TENSORS
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
    def activation(self) -> str:
        """How its codes are computed, as SAELens calls it: `topk`, `standard` or `jumprelu`."""

    @property
    def architecture(self) -> str:
        """What tells SAEs of one width apart: what it was trained as, where its file says so, with its k where that is
        stated (`batchtopk-k32`, saved as jumprelu), else how its codes are computed."""
        trained, details = (self.metadata.get(f"training_architecture{end}") for end in ("", "_details"))
        if not isinstance(trained, str):
            return self.activation
        k = details.get("k") if isinstance(details, dict) else None
        return f"{trained}-k{k:g}" if isinstance(k, int | float) else trained

    @property
    def model_name(self) -> str | None:
        """The language model; None where the file does not say."""
        return self.metadata.get("model_name")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same elsewhere or in another type."""
        moved = copy.copy(self)
        for name in self.tensors:
            setattr(moved, name, getattr(self, name).to(device=device, dtype=dtype))
        return moved

    def sha256(self) -> str:
        """Of the tensors' bytes."""
        digest = hashlib.sha256()
        for name in self.tensors:
            digest.update(getattr(self, name).detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Codes [..., d_sae] (≥ 0) of x [..., d_in]."""

    @abstractmethod
    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of x [..., d_in] that are not 0: values [..., k'] (≥ 0, in no order) and their latents [..., k'] (int64);
        where fewer than k' fire, values of 0 fill them up."""

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstructions [..., d_in] of codes [..., d_sae]."""
        return codes.to(self.W_dec.dtype) @ self.W_dec + self.b_dec

    def decode_sparse(self, values: Tensor, latents: Tensor) -> Tensor:
        """Reconstructions [..., d_in] of `encode_sparse`'s codes."""
        flat = decode(values.reshape(-1, values.shape[-1]), latents.reshape(-1, latents.shape[-1]), self.W_dec)
        return flat.view(*values.shape[:-1], self.d_in) + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """x̂ [..., d_in] of x [..., d_in]."""
        return self.decode(self.encode(x))

    def pre_activations(self, x: Tensor) -> Tensor:
        """(x − b_dec) W_enc + b_enc: [..., d_in] → [..., d_sae], in the SAE's type."""
        return ((x.to(self.W_enc.dtype) - self.b_dec) @ self.W_enc).add_(self.b_enc)
