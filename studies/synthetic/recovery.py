"""What of a truth an SAE's decoder rows have found, and whether what two seeds share is true."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from studies.statistics.records import Numbers
from studies.synthetic.truths import Truth

THRESHOLD, STRICT = 0.7, 0.9
"""A latent is a feature where the cosine of its row with the vector is above; `STRICT` is the second one reported."""


class Rows(NamedTuple):
    """The latents of an SAE that fire.

    Attributes:
        rows: [A, d], float32, their decoder rows, unit norm.
        true: bool [A], whose cosine with some true feature is above 0.7.
        composite: bool [A], whose cosine with some child and its parent together is above 0.7.
    """

    rows: Tensor
    true: Tensor
    composite: Tensor


def unit(rows: Tensor) -> Tensor:
    """The same rows [n, d] with norm 1; a row of zeros stays."""
    return torch.nn.functional.normalize(rows.float(), dim=1)


def rows_of(rows: Tensor, truth: Truth) -> Rows:
    """Rows [A, d] with what they are."""
    rows, children = unit(rows), torch.nonzero(truth.parents >= 0).flatten()
    sums = unit(truth.vectors[children] + truth.vectors[truth.parents[children]])
    return Rows(rows, _reaches(rows, truth.vectors), _reaches(rows, sums))


def recovered(rows: Tensor, truth: Truth) -> Numbers:
    """What firing latents' rows [A, d], unit norm, have found.

    Returns:
        `recovery` and `recovery_strict`, shares of the true features with a latent of a cosine above 0.7 and 0.9;
        `true_share`, share of the latents that are a true feature; `mcc`, mean |cosine| of the best one-to-one assignment
        (Hungarian) of these latents, whose number is `alive`; `uniqueness`, different features that are nearest to a latent
        by |cosine|, over them; `coherence`, root mean squared cosine of two latents over Welch's bound, the least it can be.
        Without latents, for `coherence` without more latents than dimensions, None.
    """
    from sae_lens.synthetic import feature_uniqueness, mean_correlation_coefficient

    count, width = rows.shape
    best = (rows @ truth.vectors.T).amax(0) if count else torch.full((len(truth.vectors),), -1.0)
    return {
        "alive": count,
        "recovery": float((best > THRESHOLD).float().mean()),
        "recovery_strict": float((best > STRICT).float().mean()),
        "true_share": float(_reaches(rows, truth.vectors).float().mean()) if count else None,
        "mcc": mean_correlation_coefficient(rows, truth.vectors) if count else None,
        "uniqueness": feature_uniqueness(rows, truth.vectors) if count else None,
        "coherence": _coherence(rows) if count > width else None,
    }


def agreement(one: Rows, other: Rows) -> Numbers:
    """Whether what two seeds share is true.

    Latents are matched one to one so that the sum of their cosines is largest; two are shared where that is above 0.7.

    Returns:
        `overlap`, share of the firing latents of both that are shared; `true_shared` and `true_unshared`, shares of true ones
        among those shared and not; `composite_shared`, share of parent and child together among those shared and not true.
        None where there are none to look at.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = (one.rows @ other.rows.T).numpy()
    pairs = linear_sum_assignment(cosines, maximize=True)
    are = cosines[pairs] > THRESHOLD
    shared = []
    for side, places in zip((one, other), pairs, strict=True):
        mask = np.zeros(len(side.rows), bool)
        mask[places[are]] = True
        shared.append(mask)
    both = np.concatenate(shared)
    true = np.concatenate([one.true.numpy(), other.true.numpy()])
    composite = np.concatenate([one.composite.numpy(), other.composite.numpy()])
    return {
        "overlap": _share(both),
        "true_shared": _share(true[both]),
        "true_unshared": _share(true[~both]),
        "composite_shared": _share(composite[both & ~true]),
    }


def _reaches(rows: Tensor, vectors: Tensor) -> Tensor:
    if not len(vectors):
        return torch.zeros(len(rows), dtype=torch.bool)
    return (rows @ vectors.T).amax(1) > THRESHOLD


def _coherence(rows: Tensor) -> float:
    """Σ over all pairs of squared cosines is at least n²/d (Welch 1974), n of them with itself."""
    count, width = rows.shape
    squares = float((rows @ rows.T).double().square().sum()) - count
    return float(np.sqrt(squares / (count * (count / width - 1))))


def _share(which: np.ndarray) -> float | None:
    return float(which.mean()) if len(which) else None
