"""Means and paired contrasts of figures per seed, or per pair of seeds, with t intervals; a bootstrap.

To figures that are `Resampled` the variance over the examples, contexts or sequences is added, with Satterthwaite's degrees
of freedom for the sum. What seeds and examples do together is in both parts, so that the sum is rather too large than small.

A figure is given per seed (`{seed: value}`) or per pair of seeds (`{(seed, other): value}`). Pairs within a corpus come once.
Pairs across two corpora come in both directions, (A's seed, B's seed) and the reverse, and each two are averaged first: the
mean stays the same, what remains follows the model of unordered pairs with components of its own (x_i = (a_i + b_i)/2), and
neither a correlation of a_i with b_i (one init) nor one of the two directions needs an assumption. Contrasts are formed
pair by pair, so a − b has its own components too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np

from faithful.base.errors import FaithfulError
from studies.statistics.components import ROUNDING, Mean, mean_of_pairs, mean_of_seeds, sign_flip_p
from studies.statistics.records import Figure
from studies.statistics.resampled import Drawn, Resampled

SEEDS_FOR_INTERVAL = 3

Figures = Mapping[int, float | None] | Mapping[tuple[int, int], float | None]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, or over pairs of seeds.

    Attributes:
        value: the mean; None where no figure is defined.
        error: its standard error; None below three seeds and for a single example or context, as are the next seven.
        error_seeds: the part of it that the seeds make.
        error_drawn: the part that the examples, contexts or sequences make, once; None where they are not resampled.
        freedom: degrees of freedom of `error` in the interval and in `p`: seeds − 1, for pairs those of `PairMean.freedom`;
            with `error_drawn` those of the sum.
        ci95: t interval.
        p: two-sided p of the t statistic against 0; None also where nothing varies, neither the seeds nor
            what was drawn, around a mean that is not 0.
        jackknife_ci95: interval of the leave-one-seed-out jackknife, for pairs; for seeds it would be `ci95` itself.
        sign_flip_p: exact two-sided sign-flip p of the seeds' differences, of the jackknife's pseudo-values for pairs
            (see `sign_flip_p`); None above 40 seeds.
        sign_flip_least: the smallest it can reach, 2/2ⁿ.
        seeds: seeds that the mean is over.
        left_out: seeds without a finite figure on each side, or for some pair; left out on both sides.
        varies: whether the replicates differ by more than rounding.
    """

    value: float | None
    error: float | None
    freedom: float | None
    ci95: tuple[float, float] | None
    p: float | None
    jackknife_ci95: tuple[float, float] | None
    sign_flip_p: float | None
    sign_flip_least: float | None
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    varies: bool
    error_seeds: float | None = None
    error_drawn: float | None = None

    def summary(self) -> Figure:
        """`value`, `ci95` and the number of `seeds`, and `left_out` where there are any, as JSON; both standard errors where
        there are two."""
        ends = None if self.ci95 is None else list(self.ci95)
        figure: Figure = {"value": self.value, "ci95": ends, "seeds": len(self.seeds)}
        if self.error_drawn is not None:
            figure |= {"error_seeds": self.error_seeds, "error_drawn": self.error_drawn}
        if self.left_out:
            figure["left_out"] = list(self.left_out)
        return figure


def estimate(figures: Figures) -> Estimate:
    """Mean of one corpus' figures with its t interval.

    Raises:
        FaithfulError: a pair of a seed with itself, or seeds and pairs mixed.
    """
    if _kind(figures) is tuple:
        values = _of_pairs(figures)
        seeds = _complete(values)
        return _pair_estimate(seeds, _left_out(figures, seeds), values, 0.0)
    of_seeds = _of_seeds(figures)
    seeds = tuple(sorted(of_seeds))
    draws = figures.draws if isinstance(figures, Resampled) else {}
    units = figures.units if isinstance(figures, Resampled) else 0
    return _seed_estimate(seeds, _left_out(figures, seeds), of_seeds, 0.0, Drawn.of(seeds, draws, units))


def contrast(a: Figures, b: Figures) -> Estimate:
    """Mean of the paired differences a − b over the seeds, or pairs of seeds, that both have.

    A seed without a figure on one side is left out on both. Where single pairs are missing, seeds are left out until every
    pair is there: the one with most missing pairs first, the highest of those.

    Raises:
        FaithfulError: a pair of a seed with itself, figures per seed against figures per pair.
    """
    kinds = {_kind(figures) for figures in (a, b) if figures}
    if len(kinds) > 1:
        raise FaithfulError("Figures per seed cannot be contrasted with figures per pair of seeds; give both alike.")
    if kinds == {tuple}:
        pairs_a, pairs_b = _of_pairs(a), _of_pairs(b)
        between = {pair: pairs_a[pair] - pairs_b[pair] for pair in pairs_a.keys() & pairs_b.keys()}
        seeds = _complete(between)
        size = _size(pairs_a, pairs_b)
        return _pair_estimate(seeds, _left_out(a, seeds, b), between, size)
    of_a, of_b = _of_seeds(a), _of_seeds(b)
    differences = {seed: of_a[seed] - of_b[seed] for seed in of_a.keys() & of_b.keys()}
    seeds = tuple(sorted(differences))
    drawn = None
    if isinstance(a, Resampled) and isinstance(b, Resampled):
        draws = {seed: a.draws[seed] - b.draws[seed] for seed in seeds}
        drawn = Drawn.of(seeds, draws, min(a.units, b.units))
    return _seed_estimate(seeds, _left_out(a, seeds, b), differences, _size(of_a, of_b), drawn)


def bootstrap_ci95(
    items: int, statistic: Callable[[np.ndarray], float | np.ndarray], seed: int, draws: int = 1000
) -> np.ndarray:
    """Percentile interval of statistics of one sample of independent items (examples, sequences).

    Args:
        items: how many there are.
        statistic: from how often each item is drawn, int64 [items], to a figure or an array of figures.
        seed: of the bootstrap's own generator.
        draws: resamples.

    Returns:
        float64 [2, …]: 2.5 % and 97.5 % of each figure over the resamples that define it, nan where none does.

    Raises:
        FaithfulError: there are no items.
    """
    if items < 1:
        raise FaithfulError("There is nothing to draw from for an interval; give at least one example or sequence.")
    generator = np.random.default_rng(seed)
    even = np.full(items, 1 / items)
    values = np.array([statistic(generator.multinomial(items, even)) for _ in range(draws)], np.float64)
    flat = values.reshape(draws, -1)
    ends = np.full((2, flat.shape[1]), np.nan)
    defined = np.isfinite(flat).any(0)
    ends[:, defined] = np.nanpercentile(np.where(np.isfinite(flat), flat, np.nan)[:, defined], [2.5, 97.5], axis=0)
    return ends.reshape(2, *values.shape[1:])


def t_reach(freedom: float) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _kind(figures: Figures) -> type | None:
    kinds = {tuple if isinstance(key, tuple) else int for key in figures}
    if len(kinds) > 1:
        raise FaithfulError("Figures per seed and figures per pair of seeds are mixed; give either.")
    return next(iter(kinds), None)


def _finite(figures: Figures) -> dict[Any, float]:
    return {key: float(value) for key, value in figures.items() if value is not None and np.isfinite(value)}


def _of_seeds(figures: Figures) -> dict[int, float]:
    return cast(dict[int, float], _finite(figures))


def _of_pairs(figures: Figures) -> dict[tuple[int, int], float]:
    """Figure of each pair (lower seed first), the mean of both directions where figures come in both."""
    keys = cast(list[tuple[int, int]], list(figures))
    for one, other in keys:
        if one == other:
            raise FaithfulError(
                f"SAEs of one init resemble each other for that alone; leave out seed {one} with itself."
            )
    both = any((other, one) in figures for one, other in keys)
    finite = _finite(figures)
    found = {}
    for one, other in keys:
        values = [finite.get(key) for key in ((one, other), (other, one))]
        given = [value for value in values if value is not None]
        if len(given) == 1 + both:
            found[min(one, other), max(one, other)] = sum(given) / len(given)
    return found


def _complete(pairs: Mapping[tuple[int, int], float]) -> tuple[int, ...]:
    """Seeds between which every pair is there."""
    seeds = sorted({int(seed) for pair in pairs for seed in pair})
    while seeds:
        missing = [sum((min(s, t), max(s, t)) not in pairs for t in seeds if t != s) for s in seeds]
        if not any(missing):
            break
        most = max(missing)
        seeds.pop(max(place for place, count in enumerate(missing) if count == most))
    return tuple(seeds)


def _left_out(figures: Figures, kept: Sequence[int], others: Figures | None = None) -> tuple[int, ...]:
    keys = [*figures, *(others or {})]
    named = {int(seed) for key in keys for seed in (key if isinstance(key, tuple) else (key,))}
    return tuple(sorted(named - set(kept)))


def _size(*sides: Mapping[Any, float]) -> float:
    """Largest magnitude among the figures, which says how large rounding is."""
    return max((abs(value) for side in sides for value in side.values()), default=0.0)


def _seed_estimate(
    seeds: tuple[int, ...],
    left_out: tuple[int, ...],
    values: Mapping[int, float],
    size: float,
    drawn: Drawn | None = None,
) -> Estimate:
    x = np.array([values[seed] for seed in seeds], np.float64)
    return _estimate(seeds, left_out, x, mean_of_seeds, size, drawn)


def _pair_estimate(
    seeds: tuple[int, ...], left_out: tuple[int, ...], values: Mapping[tuple[int, int], float], size: float
) -> Estimate:
    x = np.zeros((len(seeds), len(seeds)))
    for (i, one), (j, other) in combinations(enumerate(seeds), 2):
        x[i, j] = x[j, i] = values[one, other]
    return _estimate(seeds, left_out, x, mean_of_pairs, size)


def _estimate(
    seeds: tuple[int, ...],
    left_out: tuple[int, ...],
    x: np.ndarray,
    mean_of: Callable[[np.ndarray], Mean],
    size: float,
    drawn: Drawn | None = None,
) -> Estimate:
    n = len(seeds)
    given = x if x.ndim == 1 else x[~np.eye(n, dtype=bool)]
    value = float(given.mean()) if len(given) else None
    size = max(size, float(np.abs(given).max(initial=0.0)))
    varies = bool(len(given) and np.ptp(given) > ROUNDING * size)
    if value is None or n < SEEDS_FOR_INTERVAL or (drawn is not None and math.isinf(drawn.variance)):
        return Estimate(value, None, None, None, None, None, None, None, seeds, left_out, varies)
    if not varies:
        value = 0.0 if abs(value) <= ROUNDING * size else value
        mean = Mean(np.array(value), np.zeros(()), np.full(n, value))
    else:
        mean = mean_of(x)
    value, of_seeds, jackknife = float(mean.value), float(mean.error), float(mean.jackknife)
    error, freedom = _together(of_seeds, float(mean.freedom), drawn)
    reach, of_jackknife = t_reach(freedom), t_reach(n - 1)
    return Estimate(
        value=value,
        error=error,
        freedom=freedom,
        ci95=(value - reach * error, value + reach * error),
        p=_t_p(value, error, freedom),
        jackknife_ci95=None if x.ndim == 1 else (value - of_jackknife * jackknife, value + of_jackknife * jackknife),
        sign_flip_p=sign_flip_p(mean.pseudo),
        sign_flip_least=2 / 2**n,
        seeds=seeds,
        left_out=left_out,
        varies=varies,
        error_seeds=of_seeds,
        error_drawn=None if drawn is None else math.sqrt(drawn.variance),
    )


def _together(of_seeds: float, freedom: float, drawn: Drawn | None) -> tuple[float, float]:
    """Standard error of both parts, and its degrees of freedom after Satterthwaite."""
    if drawn is None or drawn.variance == 0:
        return of_seeds, freedom
    variance = of_seeds**2 + drawn.variance
    return math.sqrt(variance), variance**2 / (of_seeds**4 / freedom + drawn.variance**2 / drawn.freedom)


def _t_p(value: float, error: float, freedom: float) -> float | None:
    from scipy.special import stdtr

    if error == 0:
        return 1.0 if value == 0 else None
    return float(2 * stdtr(freedom, -abs(value) / error))
