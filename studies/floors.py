"""What seed robustness would be without any features: decoders before training, and SAEs of Gaussian activations.

The floors that need no training (random rows, rows with the activations' covariance) are in `studies.matching`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.errors import FaithfulError
from faithful.sae.stack import Stack, StackConfig, init_weights
from faithful.sae.topk import TopKSAE
from faithful.truncated import TruncatedModel
from studies.codes import activations_of


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of activations.

    Attributes:
        mean: float64 [d_in].
        covariance: float64 [d_in, d_in].
        tokens: how many they are of.
    """

    mean: Tensor
    covariance: Tensor
    tokens: int


def moments_of(model: TruncatedModel, rows: Sequence[np.ndarray], ordinary: np.ndarray) -> Moments:
    """Moments of the activations of contexts, special tokens left out, summed in float64."""
    count = 0
    total = torch.zeros(model.d_in, dtype=torch.float64, device=model.device)
    products = torch.zeros(model.d_in, model.d_in, dtype=torch.float64, device=model.device)
    for _, _, h in activations_of(model, rows, ordinary):
        wide = h.double()
        total += wide.sum(0)
        products += wide.T @ wide
        count += len(h)
    if count < 2:
        raise FaithfulError("There are too few held-out tokens for the moments of the activations; give more --tokens.")
    mean = total / count
    covariance = products / count - torch.outer(mean, mean)
    return Moments(mean.cpu(), covariance.cpu(), count)


def initial_decoder(seed: int, d_in: int, d_sae: int) -> Tensor:
    """Decoder rows of a cell before its first step, float32 [d_sae, d_in], unit norm."""
    return init_weights(seed, d_in, d_sae)


def gaussian_saes(
    moments: Moments,
    identity: dict[str, Any],
    steps: int,
    seeds: Sequence[int],
    seed: int,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[TopKSAE]:
    """SAEs trained as recorded ones were, on Gaussian activations with given moments; all see the same batches.

    Args:
        moments: of the activations.
        identity: what `faithful train` recorded: `d_sae`, `k`, `lr`, `batch`, `dead_tokens`.
        steps: of the recorded training.
        seeds: init seeds.
        seed: of the draws.
        device: where they are trained; the draws are the same everywhere.
        report: told the steps done and their number.
    """
    d_in = len(moments.mean)
    values, vectors = torch.linalg.eigh(moments.covariance)
    root = (vectors * values.clamp(min=0).sqrt()).float()
    mean = moments.mean.float()
    scale = float((moments.covariance.trace() + moments.mean.square().sum()).rsqrt())
    config = StackConfig(
        d_in=d_in,
        d_sae=identity["d_sae"],
        k=identity["k"],
        init_seeds=tuple(seeds),
        steps=steps,
        lr=identity["lr"],
        dead_tokens=identity["dead_tokens"],
    )
    stack = Stack(config, mean, scale, device)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        noise = torch.randn(identity["batch"], d_in, generator=generator)
        stack.step(noise @ root.T + mean)
        if step % 16 == 15 or step + 1 == steps:
            report(step + 1, steps)
    return [stack.sae(place) for place in range(len(seeds))]
