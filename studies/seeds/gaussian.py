"""What seed robustness would be without any features: SAEs of Gaussian activations.

The floors that need no training are in `studies.seeds.matching` (random rows, rows with the activations' covariance) and in
`studies.common.controls` (SAEs before training).
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from faithful.base.files import write_tensors
from faithful.base.progress import Tally, uncounted
from faithful.base.records import check_archive
from faithful.formats.record import Own
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack
from faithful.training.identity import recorded_variant
from studies.common.codes import Moments

RECORDED = ("d_sae", "k", "lr", "dead_tokens", "eps", "clip", "warmup", "decay", "auxk")
CHECKPOINT_SECONDS = 600


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
