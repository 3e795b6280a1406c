"""How much decoder rows overlap, and how often latents fire."""

import math

import numpy as np
import torch
from torch import Tensor

from studies.sparsity.summary import Overlap

ROWS_AT_ONCE = 1024
QUANTILES = (5, 25, 50, 75, 95)
EDGES = tuple(round(-6 + 0.25 * step, 2) for step in range(25))
"""Of the histogram of log10 densities, from −6 to 0; what lies below the first counts with it."""


def welch_bound(rows: int, d_in: int) -> float:
    """Least that the largest |cos| of so many unit rows can be (Welch 1974); 0 where all can be orthogonal."""
    return math.sqrt((rows - d_in) / (d_in * (rows - 1))) if rows > d_in else 0.0


@torch.no_grad()
def overlap(W_dec: Tensor) -> Overlap:
    """Figures of the cosines between decoder rows [F, d], of which at most 1,024 · F are held at once.

    `c_dec`: mean |cos| of two rows (arXiv 2508.16560); `coherence`: the largest; `nearest_cosine`: mean over rows of the
    largest; both again over the Welch bound, where that is not 0. Rows of zeros are orthogonal to all.
    """
    rows = torch.nn.functional.normalize(W_dec.float(), dim=1)
    many, d_in = rows.shape
    if many < 2:
        return {"c_dec": 0.0, "coherence": 0.0, "nearest_cosine": 0.0}
    total, largest = 0.0, []
    for first in range(0, many, ROWS_AT_ONCE):
        cosines = (rows[first : first + ROWS_AT_ONCE] @ rows.T).abs_()
        cosines.diagonal(first).zero_()
        total += float(cosines.double().sum())
        largest.append(cosines.amax(1))
    nearest = torch.cat(largest)
    found = {"c_dec": total / (many * (many - 1)), "coherence": float(nearest.max())}
    found["nearest_cosine"] = float(nearest.double().mean())
    if floor := welch_bound(many, d_in):
        found |= {f"{name}_over_welch": found[name] / floor for name in ("coherence", "nearest_cosine")}
    return found


def spectrum(density: np.ndarray) -> tuple[dict[str, float | None], list[int]]:
    """Quantiles of the log10 density of the latents that fire at all, the share of those that do not; and the histogram.

    Args:
        density: share of tokens on which each latent fires, float64 [d_sae].
    """
    logs = np.log10(density[density > 0])
    found: dict[str, float | None] = {
        f"log_density_{one}": float(np.percentile(logs, one)) if len(logs) else None for one in QUANTILES
    }
    counts, _ = np.histogram(np.clip(logs, EDGES[0], EDGES[-1]), EDGES)
    return found | {"silent_share": 1 - len(logs) / len(density), "l0": float(density.sum())}, counts.tolist()
