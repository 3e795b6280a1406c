"""Variance of a mean over seeds and over pairs of seeds; exact sign flips."""

import itertools
import math

import numpy as np
import pytest

from studies.statistics.components import mean_of_pairs, sign_flip_p
from studies.statistics.estimates import contrast, estimate, t_reach
from tests.studies.statistics.drawn import PAIRS, RATIOS, as_pairs, many_pairs, p_of_t, random_pairs


@pytest.mark.parametrize("n", [1, 2, 3, 6, 9])
def test_sign_flips_are_counted_exactly(n: int) -> None:
    rng = np.random.default_rng(n)
    for values in (rng.standard_normal(n), rng.integers(-2, 4, n).astype(float), np.abs(rng.standard_normal(n)) + 0.1):
        sums = [abs(float(np.dot(signs, values))) for signs in itertools.product((-1, 1), repeat=n)]
        expected = np.mean([total >= abs(values.sum()) - 1e-9 for total in sums])
        assert sign_flip_p(values) == pytest.approx(expected)
    assert sign_flip_p(np.full(n, 0.3)) == 2 / 2**n
    assert sign_flip_p(np.zeros(n)) == 1.0


def test_sign_flips_of_many_seeds_are_still_exact() -> None:
    assert sign_flip_p(np.full(30, 0.1)) == 2 / 2**30
    assert sign_flip_p(np.array([1.0] * 29 + [-1.0])) == (2 + 2 * 30) / 2**30
    assert sign_flip_p(np.ones(41)) is None


@pytest.mark.parametrize("n", [4, 6, 9])
def test_components_are_those_of_least_squares(n: int) -> None:
    x = random_pairs(n, n, 4.0)
    pairs = list(itertools.combinations(range(n), 2))
    design = np.zeros((len(pairs), n))
    for row, pair in enumerate(pairs):
        design[row, list(pair)] = 1
    y = np.array([x[pair] for pair in pairs])
    effects = np.linalg.lstsq(design, y, rcond=None)[0]
    pair = float(((y - design @ effects) ** 2).sum()) / (len(pairs) - n)
    seed = float(effects.var(ddof=1)) - pair / (n - 2)
    found = mean_of_pairs(x)
    assert seed > 0
    assert float(found.value) == pytest.approx(y.mean())
    assert float(found.pair_variance) == pytest.approx(pair)
    assert float(found.seed_variance) == pytest.approx(seed)
    assert float(found.error) ** 2 == pytest.approx(4 * seed / n + 2 * pair / (n * (n - 1)))


def test_jackknife_leaves_out_one_seed_at_a_time() -> None:
    x, n = random_pairs(1, 6), 6
    without = [mean_of_pairs(np.delete(np.delete(x, i, 0), i, 1)).value for i in range(n)]
    expected = math.sqrt((n - 1) / n * sum((float(one) - np.mean(without)) ** 2 for one in without))
    found = contrast(as_pairs(x), dict.fromkeys(PAIRS, 0.1))
    assert found.value is not None and found.jackknife_ci95 is not None
    assert found.jackknife_ci95[1] - found.value == pytest.approx(t_reach(5) * expected)
    assert mean_of_pairs(x).pseudo.mean() == pytest.approx(x[np.triu_indices(n, 1)].mean())


def test_pure_seed_effects_weigh_as_seeds_and_not_as_pairs() -> None:
    x = random_pairs(3, 6, noise=0.0)
    effects = (mean_of_pairs(x).pseudo - x[np.triu_indices(6, 1)].mean()) / 2
    found = estimate(as_pairs(x))
    assert found.error == pytest.approx(2 * effects.std(ddof=1) / math.sqrt(6))
    naive = x[np.triu_indices(6, 1)].std(ddof=1) / math.sqrt(15)
    assert found.error is not None and found.error > 1.5 * naive


def test_components_are_unbiased_before_the_floor() -> None:
    found = mean_of_pairs(many_pairs(0, 8000, 8, 9.0, 4.0))
    assert found.pair_variance.mean() == pytest.approx(4.0, rel=0.02)
    assert found.seed_variance.mean() == pytest.approx(9.0, rel=0.06)
    assert (found.error**2).mean() == pytest.approx(found.value.var(), rel=0.08)


def test_floor_leaves_the_pair_noise() -> None:
    x = next(x for x in (random_pairs(s, 6, 0.0) for s in range(50)) if mean_of_pairs(x).seed_variance == 0)
    found = mean_of_pairs(x)
    assert float(found.error) ** 2 == pytest.approx(2 * float(found.pair_variance) / 30)
    assert found.jackknife > 0


def test_three_seeds_lay_all_spread_to_the_seeds() -> None:
    found = estimate(as_pairs(random_pairs(2, 3)))
    assert found.ci95 is not None and found.jackknife_ci95 == pytest.approx(found.ci95)


@pytest.mark.parametrize("n", [6, 8])
@pytest.mark.parametrize(("seed_part", "noise"), RATIOS)
def test_pair_intervals_hold_their_level_far_out_too(n: int, seed_part: float, noise: float) -> None:
    """Asked for: at most 6 % of true nulls rejected at 5 %, 1.5 % at 1 %, 0.2 % at 0.1 % (20,000 simulations)."""
    from scipy.special import stdtr

    x = many_pairs(n, 20_000, n, seed_part, noise)
    p = p_of_t(mean_of_pairs(x))
    shares = [(p < level).mean() for level in (0.05, 0.01, 0.001)]
    assert 0.005 <= shares[0] <= 0.06 and shares[1] <= 0.015 and shares[2] <= 0.002
    if seed_part == noise or not noise:
        upper = np.triu_indices(n, 1)
        naive = x[:, upper[0], upper[1]]
        errors = naive.std(-1, ddof=1) / math.sqrt(naive.shape[1])
        too_often = (2 * stdtr(naive.shape[1] - 1, -np.abs(naive.mean(-1)) / errors) < 0.05).mean()
        assert too_often > 0.15


def test_degrees_of_freedom_are_never_more_than_seeds_minus_one() -> None:
    """Where σ²_seed is floored the variance came out low by chance: more degrees there would trust it more."""
    found = mean_of_pairs(many_pairs(0, 2000, 8, 0.0, 1.0))
    floored = found.seed_variance == 0
    assert 0.3 < floored.mean() < 0.9
    assert (found.freedom[floored] == 7).all() and (found.freedom <= 7).all() and (found.freedom >= 4).all()
