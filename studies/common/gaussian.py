"""What seed robustness would be without any features: decoders before training, and SAEs of Gaussian activations.

The floors that need no training (random rows, rows with the activations' covariance) are in `studies.seeds.matching`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.files import write_tensors
from faithful.base.progress import Tally, uncounted
from faithful.base.records import check_archive
from faithful.formats.record import Own
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack, init_weights
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae
from faithful.training.identity import recorded_variant
from studies.common.codes import activations_of

RECORDED = ("d_sae", "k", "lr", "dead_tokens", "eps", "clip", "warmup", "decay", "auxk")
CHECKPOINT_SECONDS = 600


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

    @cached_property
    def root(self) -> Tensor:
        """A root of the covariance, float32 [d_in, d_in]: root rootᵀ is the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()).float()


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


def has_untrained(sae: TrainedSae) -> bool:
    """Whether it is known how an SAE began."""
    return bool(sae.record) and sae.seed is not None


def untrained_sae(sae: TrainedSae, mean: Tensor) -> TopKSAE:
    """An SAE, of which that is known, as it was before its first step, for activations with the given mean [d_in].

    The mean that training used is that of its first activations.
    """
    identity = sae.record["identity"]
    rows = init_weights(identity["init_seed"], len(mean), identity["d_sae"])
    return TopKSAE(rows.T.contiguous(), torch.zeros(identity["d_sae"]), rows, mean.float(), identity["k"])


def recorded_config(record: Own, d_in: int, steps: int, seeds: Sequence[int]) -> StackConfig | None:
    """How `faithful train` trained an SAE, by what it recorded.

    Args:
        record: its `identity`, of the `ALGORITHM` that trains now, and whether it was `deterministic`.
        d_in: dimensions of the activations.
        steps: to train now; schedules are fractions of them.
        seeds: init seeds.

    Returns:
        None where its variant is not at hand.
    """
    how: Mapping[str, Any] = record["identity"]
    variant = recorded_variant(record["identity"])
    if variant is None:
        return None
    return StackConfig(
        d_in=d_in,
        init_seeds=tuple(seeds),
        steps=steps,
        betas=tuple(how["betas"]),
        gemm_dtype=None if how["gemm_dtype"] == "float32" else how["gemm_dtype"],
        variant=variant,
        deterministic=record.get("deterministic", False),
        **{name: how[name] for name in RECORDED},
    )


def gaussian_saes(
    moments: Moments,
    config: StackConfig,
    batch: int,
    seed: int,
    device: str = "cpu",
    report: Tally = uncounted,
    checkpoint: Path | None = None,
) -> list[Autoencoder]:
    """SAEs trained on Gaussian activations with given moments; all see the same batches.

    Args:
        moments: of the activations.
        config: how they are trained, by `recorded_config` as recorded ones were.
        batch: activations per step.
        seed: of the draws.
        device: where they are trained; the draws are the same everywhere.
        report: told the steps done and their number.
        checkpoint: where the state is kept every ten minutes, and taken from; the caller deletes it.
    """
    mean = moments.mean.float()
    scale = float((moments.covariance.trace() + moments.mean.square().sum()).rsqrt())
    stack = Stack(config, mean, scale, device)
    generator = torch.Generator().manual_seed(seed)
    if checkpoint is not None and checkpoint.exists():
        check_archive(checkpoint)
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        stack.load_state_dict(state["stack"])
        generator.set_state(state["generator"])
    saved = time.monotonic()
    while stack.steps_done < config.steps:
        noise = torch.randn(batch, config.d_in, generator=generator)
        stack.step(noise @ moments.root.T + mean)
        if stack.steps_done % 16 == 0 or stack.steps_done == config.steps:
            report(stack.steps_done, config.steps)
        if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
            state = {"stack": stack.state_dict(), "generator": generator.get_state()}
            write_tensors(checkpoint, state)
            saved = time.monotonic()
    return [stack.sae(place) for place in range(len(config.init_seeds))]
