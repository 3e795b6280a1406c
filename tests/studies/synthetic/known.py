"""Truths small enough to see through."""

import torch
from torch import Tensor

from faithful.sae.autoencoder import Autoencoder
from faithful.sae.threshold import ThresholdSAE
from studies.synthetic.truths import Truth


class Fixed:
    """A generator of sae_lens' form that gives the same features for ever."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def sample(self, tokens: int) -> Tensor:
        return self.features[:tokens]


def orthogonal(features: Tensor, parents: list[int]) -> Truth:
    """A truth whose vectors are the axes."""
    return Truth("hier", 0, torch.eye(features.shape[1]), torch.tensor(parents), Fixed(features))  # type: ignore[arg-type]


class Codes(ThresholdSAE):
    """An SAE whose codes are given, whatever it reads."""

    codes: Tensor

    def encode(self, x: Tensor) -> Tensor:
        return self.codes[: len(x)]


def with_codes(codes: Tensor, rows: Tensor) -> Autoencoder:
    """An SAE with these codes [N, F] and decoder rows [F, d]."""
    width, d_in = rows.shape
    sae = Codes(rows.T.contiguous(), torch.zeros(width), rows, torch.zeros(d_in), torch.zeros(width))
    sae.codes = codes
    return sae
