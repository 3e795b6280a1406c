"""Variance of a mean over seeds, and of a mean over pairs of seeds; exact sign flips.

Pairs that share a seed are dependent. Model: x_ij = μ + x_i + x_j + e_ij with Var x_i = σ²_seed, Var e_ij = σ²_pair, so the
mean over all n(n − 1)/2 pairs has variance 4σ²_seed/n + 2σ²_pair/(n(n − 1)). With m_i the mean of the pairs of seed i, m
that of all, and d_i = (m_i − m)(n − 1)/(n − 2) the fitted effects:

- the residuals x_ij − m − d_i − d_j have n(n − 3)/2 degrees of freedom, and their mean square estimates σ²_pair;
- Σd_i²/(n − 1) has expectation σ²_seed + σ²_pair/(n − 2), which gives σ²_seed, floored at 0;
- m + 2d_i are the jackknife's pseudo-values (n·m − (n − 1)·m without seed i). Without pair noise they are independent, one
  per seed; with it their variance is larger than that of the mean asks for, never smaller.
"""

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-12
MOST_FLIPPED = 40


@dataclass(frozen=True)
class Mean:
    """A mean and what chance does to it; arrays have the leading axes of the figures.

    Attributes:
        value: the mean, float64 [...].
        error: its standard error, float64 [...].
        pseudo: one figure per seed whose mean is `value`, float64 [..., n]: the figures of the seeds themselves, or the
            pseudo-values of the jackknife for pairs.
    """

    value: np.ndarray
    error: np.ndarray
    pseudo: np.ndarray

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom of `error`, float64 [...]: seeds − 1."""
        return np.full(np.shape(self.value), self.pseudo.shape[-1] - 1.0)

    @property
    def jackknife(self) -> np.ndarray:
        """Standard error of the leave-one-seed-out jackknife, float64 [...]."""
        return _spread(self.pseudo) / np.sqrt(self.pseudo.shape[-1])


@dataclass(frozen=True)
class PairMean(Mean):
    """A mean over pairs of seeds, with the two components of its variance.

    Attributes:
        seed_variance: σ²_seed, at least 0, float64 [...].
        pair_variance: σ²_pair, float64 [...].
    """

    seed_variance: np.ndarray
    pair_variance: np.ndarray

    @property
    def freedom(self) -> np.ndarray:
        """Satterthwaite's degrees of freedom of `error`, between n/2 and n − 1; n − 1 where σ²_seed is floored.

        The variance is A − B with A = 4Σd_i²/(n(n − 1)) on n − 1 and B = 2σ²_pair/((n − 1)(n − 2)) on n(n − 3)/2 degrees.
        Where σ²_seed is floored, the variance came out low by chance: the n(n − 3)/2 degrees of the residuals alone, which is
        what is left of it, would make p < .001 of .6 % of true nulls with eight seeds (seed : pair noise 1 : 4), and err in
        one of ten families of twelve contrasts. With n − 1 throughout, a null with seed and pair noise alike is rejected
        6.9 % of the time at 5 % with six seeds (`benchmarks/inference_calibration.py`). The price is width where there is
        pair noise alone: 99 % and more are covered.
        """
        n = self.pseudo.shape[-1]
        if n < 4:
            return super().freedom
        of_residuals = n * (n - 3) / 2
        a, b = self.jackknife**2, 2 * self.pair_variance / ((n - 1) * (n - 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            matched = np.nan_to_num((a - b) ** 2 / (a**2 / (n - 1) + b**2 / of_residuals), nan=n - 1)
        return np.where(self.seed_variance > 0, np.clip(matched, n / 2, n - 1), n - 1.0)


def mean_of_seeds(x: np.ndarray) -> Mean:
    """Mean over independent seeds.

    Args:
        x: float64 [..., n], n ≥ 2.
    """
    return Mean(x.mean(-1), _spread(x) / np.sqrt(x.shape[-1]), x)


def mean_of_pairs(x: np.ndarray) -> PairMean:
    """Mean over unordered pairs of seeds, which share seeds.

    With three seeds the components cannot be told apart, and all spread is laid to the seeds: the larger error of the two.

    Args:
        x: float64 [..., n, n], symmetric, n ≥ 3; the diagonal is not read.
    """
    n = x.shape[-1]
    different = ~np.eye(n, dtype=bool)
    of_seeds = np.where(different, x, 0.0).sum(-1) / (n - 1)
    mean = of_seeds.mean(-1)
    effects = (of_seeds - mean[..., None]) * (n - 1) / (n - 2)
    fitted = mean[..., None, None] + effects[..., :, None] + effects[..., None, :]
    squares = np.where(different, x - fitted, 0.0) ** 2
    pair = squares.sum((-2, -1)) / (n * (n - 3)) if n > 3 else np.zeros_like(mean)
    seed = np.maximum((effects**2).sum(-1) / (n - 1) - pair / (n - 2), 0.0)
    error = np.sqrt(4 * seed / n + 2 * pair / (n * (n - 1)))
    return PairMean(mean, error, mean[..., None] + 2 * effects, seed, pair)


def sign_flip_p(values: np.ndarray) -> float | None:
    """Two-sided p of the mean under all 2ⁿ changes of sign, counted exactly.

    Exact where the values are independent and symmetric around 0: differences of seeds, pseudo-values of pairs without
    pair noise. Pairs themselves cannot be flipped one by one, since those of a seed move together; with pair noise their
    pseudo-values vary more than the mean does, which makes p too large rather than too small.

    Args:
        values: float64 [n], n ≥ 1.

    Returns:
        p, at least 2/2ⁿ; None above 40 values, where counting ends.
    """
    n = len(values)
    if n > MOST_FLIPPED:
        return None
    reached = abs(float(values.sum())) - ROUNDING * float(np.abs(values).sum())
    if reached <= 0:
        return 1.0
    left, right = _signed_sums(values[: n // 2]), np.sort(_signed_sums(values[n // 2 :]))
    as_large = len(right) - np.searchsorted(right, reached - left)
    return 2 * int(as_large.sum()) / 2**n


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """Σ ±v over all 2ⁿ choices of the signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _spread(x: np.ndarray) -> np.ndarray:
    return x.std(-1, ddof=1)
