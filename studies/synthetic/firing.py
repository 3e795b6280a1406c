"""Whether latents fire where their features do, and whether children absorb their parents."""

import torch
from torch import Tensor

from studies.statistics.records import Numbers
from studies.synthetic.recovery import THRESHOLD
from studies.synthetic.truths import Truth

BANDS = {"low": (0.0, 0.75), "middle": (0.75, 1.25), "high": (1.25, float("inf"))}
"""Of the true features that fire at once, over their mean: from, and up to but without."""


def detection(fires: Tensor, features: Tensor, rows: Tensor, truth: Truth) -> Numbers:
    """Latents as detectors of the features that they are nearest to, mean over the latents.

    It is high for random directions too where their codes are trained: never a figure to look at alone.

    Args:
        fires: bool [N, A], which of the latents fire.
        features: bool [N, M], which features do.
        rows: [A, d], unit norm, their decoder rows.
        truth: what they are held against.

    Returns:
        `precision`, `recall` and `f1`; None without latents.
    """
    if not len(rows):
        return {"precision": None, "recall": None, "f1": None}
    wanted = features[:, (rows @ truth.vectors.T).argmax(1)]
    hits = (fires & wanted).sum(0).double()
    precision, recall = hits / fires.sum(0).clamp_min(1), hits / wanted.sum(0).clamp_min(1)
    f1 = 2 * hits / (fires.sum(0) + wanted.sum(0)).clamp_min(1)
    return {"precision": float(precision.mean()), "recall": float(recall.mean()), "f1": float(f1.mean())}


def absorption(fires: Tensor, features: Tensor, rows: Tensor, truth: Truth) -> Numbers:
    """How much rather a parent's latent is silent where a child fires: P(silent | a child fires) − P(silent | alone).

    Only parents that were found count, by their nearest latent. Where a child fires more features do than where its parent
    is alone, and an SAE of k latents has fewer for each: the difference is taken among tokens with equally many true features
    and averaged over them and the parents by Mantel and Haenszel (1959), with weights n₁n₀/(n₁ + n₀).

    Args:
        fires, features, rows, truth: as in `detection`.

    Returns:
        `absorption` so; `absorption_raw` without regard to how many fire; `absorption_low`, `_middle` and `_high` among the
        tokens of a band of `BANDS`; `parents`, how many were found. None where nothing can be compared.
    """
    parents = torch.unique(truth.parents[truth.parents >= 0])
    cosines = truth.vectors[parents] @ rows.T if len(rows) and len(parents) else torch.zeros(len(parents), 1)
    best, latents = cosines.max(1) if len(parents) else (torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    parents, latents = parents[best > THRESHOLD], latents[best > THRESHOLD]
    if not len(parents):
        return {"parents": 0} | dict.fromkeys(["absorption", "absorption_raw", *(f"absorption_{b}" for b in BANDS)])
    is_child = (truth.parents[:, None] == parents).float()
    child = features.float() @ is_child > 0
    alone = features[:, parents] & ~child
    silent, l0 = ~fires[:, latents], features.sum(1)
    strata = torch.nn.functional.one_hot(l0).float().T  # [L, N]
    counts = [strata @ which.float() for which in (child, child & silent, alone, alone & silent)]
    found: Numbers = {
        "parents": len(parents),
        "absorption": _risk_difference(*counts),
        "absorption_raw": _risk_difference(*(one.sum(0) for one in counts)),
    }
    at = torch.arange(len(strata)) / l0.double().mean()
    for band, (low, high) in BANDS.items():
        chosen = (at >= low) & (at < high)
        found[f"absorption_{band}"] = _risk_difference(*(one[chosen] for one in counts))
    return found


def _risk_difference(child: Tensor, child_silent: Tensor, alone: Tensor, alone_silent: Tensor) -> float | None:
    """Σ w (s₁/n₁ − s₀/n₀) / Σ w over strata with tokens of both kinds."""
    n1, s1, n0, s0 = (one.double() for one in (child, child_silent, alone, alone_silent))
    both = (n1 > 0) & (n0 > 0)
    if not both.any():
        return None
    n1, s1, n0, s0 = n1[both], s1[both], n0[both], s0[both]
    weights = n1 * n0 / (n1 + n0)
    return float((weights * (s1 / n1 - s0 / n0)).sum() / weights.sum())
