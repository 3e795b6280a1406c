"""Simulated figures of seeds and of pairs, with what was drawn beside them."""

import itertools
import math
from typing import Any

import numpy as np

from studies.statistics.components import Mean
from studies.statistics.resampled import Resampled, resample_counts
from studies.statistics.verdicts import Comparison, judge
from tests.studies.headlines import HEADLINES

PAIRS = list(itertools.combinations(range(6), 2))


def as_pairs(x: np.ndarray, seeds: tuple[int, ...] | None = None) -> dict[tuple[int, int], float]:
    names = seeds or tuple(range(len(x)))
    return {(names[i], names[j]): float(x[i, j]) for i, j in itertools.combinations(range(len(x)), 2)}


def random_pairs(seed: int, n: int, seed_part: float = 1.0, noise: float = 1.0) -> np.ndarray:
    return many_pairs(seed, 1, n, seed_part, noise)[0] + 0.4


def many_pairs(seed: int, count: int, n: int, seed_part: float, noise: float) -> np.ndarray:
    """Simulated figures of pairs around 0, [count, n, n]."""
    rng = np.random.default_rng(seed)
    effects = math.sqrt(seed_part) * rng.standard_normal((count, n))
    upper = np.triu(math.sqrt(noise) * rng.standard_normal((count, n, n)), 1)
    return effects[:, :, None] + effects[:, None, :] + upper + upper.transpose(0, 2, 1)


RATIOS = [(1, 0), (1, 1), (1, 4), (0, 1)]


def p_of_t(found: Mean) -> np.ndarray:
    from scipy.special import stdtr

    p: np.ndarray = 2 * stdtr(found.freedom, -np.abs(found.value) / found.error)
    return p


OWN = {seed: 0.50 + 0.01 * value for seed, value in enumerate((0, 2, 1, 3, 1, 2))}


PILE = {seed: 0.47 + 0.01 * value for seed, value in enumerate((1, 0, 2, 1, 0, 2))}


def drawn_figures(seed: int, seeds: int, units: int, of_units: float, of_seeds: float) -> Resampled:
    """Means over units whose effects all seeds share, with resamples."""
    rng = np.random.default_rng(seed)
    x = of_units * rng.standard_normal(units) + of_seeds * rng.standard_normal((seeds, 1))
    counts = resample_counts(units, 0, "units")
    return Resampled(dict(enumerate(x.mean(1).tolist())), {s: counts @ x[s] / units for s in range(seeds)}, units)


def noisy(mean: float, spread: float, seed: int, n: int = 6) -> dict[int, float]:
    """Figures with exactly this mean and standard deviation."""
    values = np.random.default_rng(seed).standard_normal(n)
    values = (values - values.mean()) / values.std(ddof=1)
    return {i: float(value) for i, value in enumerate(mean + spread * values)}


ON_OWN = {"own": noisy(0.93, 0.001, 1), "prose": noisy(0.67, 0.002, 2), "web": noisy(0.93, 0.001, 3)}


FLAT = dict.fromkeys(range(6), 0.0)


def headline(study: str, difference: float, spread: float, b: str = "pile", n: int = 6) -> dict[str, Any]:
    figures = noisy(difference, spread, 0, n)
    return judge(HEADLINES[study], [Comparison("own", b, HEADLINES[study].metrics[0], figures, FLAT, headline=True)])[0]
