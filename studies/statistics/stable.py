"""Latents that reappear with other seeds: which ones are stable, what share of a sum they have, and the file that says so.

`study seeds` leaves the file, and studies that come after it read it beside their own folder.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from studies.statistics.latents import read_latents, write_latents

STABLE = 0.5
"""A latent is stable where it reappears in more than this share of the other seeds of its corpus."""
REAPPEARANCE, REAPPEARS = "reappearance.parquet", "reappears"


def share_of_stable(of: np.ndarray, stable: np.ndarray) -> float | None:
    """The share of Σ of [d_sae] that the stable latents have; None where that is not above 0."""
    total = float(of.sum())
    return float(of[stable].sum() / total) if total > 0 else None


def write_reappearance(folder: Path, reappears: Mapping[str, np.ndarray]) -> None:
    """Keep in what share of the other seeds each latent [d_sae] of SAEs reappears, by the SAEs' hashes.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    write_latents(folder / REAPPEARANCE, {sae: {REAPPEARS: of} for sae, of in reappears.items()})


def read_stable(folder: Path) -> dict[str, np.ndarray]:
    """Which latents of SAEs are stable, bool [d_sae], by the SAEs' hashes; none without a study there.

    Raises:
        FaithfulError: the file is damaged.
    """
    return {sae: of[REAPPEARS] > STABLE for sae, of in read_latents(folder / REAPPEARANCE).items()}
