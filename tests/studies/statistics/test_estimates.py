"""Means and paired contrasts with their intervals."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import stdtr

from studies.statistics.components import mean_of_seeds
from studies.statistics.estimates import Estimate, bootstrap_ci95, contrast, estimate, t_reach
from studies.statistics.resampled import Resampled
from studies.statistics.verdicts import verdict
from tests.studies.statistics.drawn import (
    OWN,
    PAIRS,
    PILE,
    RATIOS,
    as_pairs,
    drawn_figures,
    many_pairs,
    p_of_t,
    random_pairs,
)


def test_seed_contrast_is_the_paired_t_test() -> None:
    from scipy.stats import ttest_rel

    found = contrast(OWN, PILE)
    theirs = ttest_rel(list(OWN.values()), list(PILE.values()))
    low, high = theirs.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(list(OWN.values())) - np.mean(list(PILE.values())))
    assert found.ci95 == pytest.approx((low, high))
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.seeds == (0, 1, 2, 3, 4, 5) and found.left_out == () and found.jackknife_ci95 is None
    assert found.sign_flip_least == 2 / 64


def test_seed_estimate_is_a_t_interval() -> None:
    from scipy.stats import t

    values = np.array(list(OWN.values()))
    found = estimate(OWN)
    assert found.ci95 == pytest.approx(t.interval(0.95, 5, values.mean(), values.std(ddof=1) / math.sqrt(6)))
    assert found.summary() == {"value": found.value, "ci95": list(found.ci95 or ()), "seeds": 6}


def test_pair_contrast_is_over_differences_of_the_same_pair() -> None:
    shared, small = random_pairs(4, 6, 100.0, 100.0), 0.01 * random_pairs(5, 6)
    found = contrast(as_pairs(shared + small), as_pairs(shared))
    alone = estimate(as_pairs(small))
    assert found.value == pytest.approx(alone.value) and found.ci95 == pytest.approx(alone.ci95)
    assert found.p == pytest.approx(alone.p) and found.sign_flip_p == alone.sign_flip_p


def test_order_of_a_pair_does_not_matter() -> None:
    one, other = random_pairs(6, 6), random_pairs(7, 6)
    turned = {(j, i): value for (i, j), value in as_pairs(other).items()}
    assert contrast(as_pairs(one), turned) == contrast(as_pairs(one), as_pairs(other))


def test_ordered_pairs_are_averaged_over_both_directions() -> None:
    rng = np.random.default_rng(8)
    y = rng.standard_normal((6, 6)) + 2 * rng.standard_normal(6)[:, None]
    ordered = {(i, j): float(y[i, j]) for i, j in itertools.permutations(range(6), 2)}
    found = estimate(ordered)
    assert found.value == pytest.approx(np.mean(list(ordered.values())))
    assert found == estimate(as_pairs((y + y.T) / 2))
    within = as_pairs(random_pairs(9, 6))
    assert contrast(within, ordered) == contrast(within, as_pairs((y + y.T) / 2))


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_seed_without_a_figure_is_left_out_on_both_sides(missing: float | None) -> None:
    found = contrast(OWN | {3: missing}, PILE)
    kept = [seed for seed in OWN if seed != 3]
    assert found.left_out == (3,) and found.seeds == (0, 1, 2, 4, 5)
    assert found == contrast({s: OWN[s] for s in kept} | {3: None}, {s: PILE[s] for s in kept})


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_pair_leaves_out_a_seed(missing: float | None) -> None:
    one, other = as_pairs(random_pairs(10, 7)), as_pairs(random_pairs(11, 7))
    found = contrast(one | {(2, 5): missing}, other)
    assert found.left_out == (5,) and len(found.seeds) == 6
    absent = {pair: value for pair, value in other.items() if 3 not in pair}
    assert contrast(one, absent).left_out == (3,)
    rest = {pair: value for pair, value in one.items() if 5 not in pair}
    assert found.value == pytest.approx(np.mean([rest[pair] - other[pair] for pair in rest]))


def test_ordered_pair_needs_both_directions() -> None:
    ordered = {pair: 0.1 * sum(pair) for pair in itertools.permutations(range(6), 2)}
    del ordered[4, 1]
    assert estimate(ordered).left_out == (4,)


def test_one_and_two_seeds_have_no_interval() -> None:
    for n in (1, 2):
        found = contrast({s: OWN[s] for s in range(n)}, {s: PILE[s] + 0.01 * s for s in range(n)})
        assert found.value == pytest.approx(np.mean([OWN[s] - PILE[s] - 0.01 * s for s in range(n)]))
        assert (found.ci95, found.p, found.error, found.sign_flip_p) == (None, None, None, None)
        assert len(found.seeds) == n
    one_pair = contrast({(0, 1): 0.5}, {(0, 1): 0.25})
    assert one_pair.value == 0.25 and one_pair.ci95 is None and one_pair.seeds == (0, 1)
    assert contrast({}, {}).value is None and contrast({0: 1.0}, {1: 1.0}).left_out == (0, 1)


def test_equal_figures_are_no_difference() -> None:
    nearly = {seed: 0.1 + 0.2 if seed % 2 else 0.3 for seed in range(6)}
    found = contrast(nearly, dict.fromkeys(range(6), 0.3))
    assert (found.value, found.ci95, found.p, found.sign_flip_p) == (0.0, (0.0, 0.0), 1.0, 1.0)
    assert not found.varies and verdict(found, 1.0, 0.01) == "no relevant difference"
    pairs = contrast(dict.fromkeys(PAIRS, 0.1 + 0.2), dict.fromkeys(PAIRS, 0.3))
    assert (pairs.value, pairs.ci95, pairs.p) == (0.0, (0.0, 0.0), 1.0)


def test_difference_that_no_seed_changes_has_no_p() -> None:
    for keys in (range(6), PAIRS):
        found = contrast(dict.fromkeys(keys, 0.7), dict.fromkeys(keys, 0.4))
        assert found.value == pytest.approx(0.3) and found.p is None and not found.varies
        assert found.sign_flip_p == found.sign_flip_least == 2 / 64
        assert verdict(found, None, 0.01) == "cannot be decided: every seed gives the same difference"


def test_what_was_drawn_alone_gives_a_p_where_no_seed_changes_anything() -> None:
    rng = np.random.default_rng(0)
    one, other = (
        Resampled(dict.fromkeys(range(6), mean), dict.fromkeys(range(6), mean + noise), 50)
        for mean, noise in ((0.7, rng.normal(0, 0.1, 400)), (0.4, np.zeros(400)))
    )
    found = contrast(one, other)
    assert not found.varies and found.error_seeds == 0 and found.freedom == pytest.approx(49)
    assert found.error_drawn == found.error == pytest.approx(0.1, rel=0.15)
    assert found.p == pytest.approx(2 * stdtr(49, -found.value / found.error))
    assert not verdict(found, found.p, 0.01).startswith("cannot be decided")


def test_both_parts_of_the_error_add_up() -> None:
    found = estimate(drawn_figures(1, 6, 100, 1.0, 0.1))
    assert found.error is not None and found.error_seeds is not None and found.error_drawn is not None
    assert found.error_drawn == pytest.approx(0.1, rel=0.25) and found.error_seeds == pytest.approx(
        0.1 / 6**0.5, rel=0.6
    )
    assert found.error == pytest.approx(math.hypot(found.error_seeds, found.error_drawn))
    assert found.freedom is not None and 5 < found.freedom < 104
    assert found.ci95 is not None and found.ci95[1] - found.ci95[0] == pytest.approx(
        2 * t_reach(found.freedom) * found.error
    )
    assert found.summary()["error_drawn"] == found.error_drawn
    plain = estimate(dict(drawn_figures(1, 6, 100, 1.0, 0.1)))
    assert plain.error == found.error_seeds and plain.error_drawn is None and "error_drawn" not in plain.summary()


def test_bootstrap_of_a_mean_is_close_to_theory() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    ends = bootstrap_ci95(
        400, lambda counts: np.array([counts @ values, (counts @ values**2)]) / 400, seed=1, draws=4000
    )
    half = 1.96 * values.std() / 20
    assert ends.shape == (2, 2)
    assert ends[:, 0] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)
    assert ends[0, 1] < (values**2).mean() < ends[1, 1]


def test_bootstrap_has_a_generator_of_its_own() -> None:
    values = np.arange(20.0)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]  # noqa: NPY002
    first, again, other = (bootstrap_ci95(20, lambda counts: float(counts @ values), seed) for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]  # noqa: NPY002


def test_bootstrap_leaves_out_resamples_without_a_figure() -> None:
    def share(counts: np.ndarray) -> np.ndarray:
        seen = counts[0] + counts[1]
        return np.array([counts[0] / seen if seen else math.nan, math.nan])

    ends = bootstrap_ci95(4, share, seed=0)
    assert ends[:, 0] == pytest.approx([0, 1]) and np.isnan(ends[:, 1]).all()


@pytest.mark.parametrize(("seed_part", "noise"), RATIOS)
def test_an_effect_planted_in_pair_figures_is_recovered(seed_part: float, noise: float) -> None:
    """Seed effects and noise of the two corpora are their own; the one's figures are three standard errors higher."""
    n, tries = 6, 400
    error = math.sqrt(2 * (4 * seed_part / n + 2 * noise / (n * (n - 1))))
    one, other = (many_pairs(seed, tries, n, seed_part, noise) + 0.4 for seed in (1, 2))
    pairs = zip(one + 3 * error, other, strict=True)
    recovered([contrast(as_pairs(a), as_pairs(b)) for a, b in pairs], 3 * error, error)


def test_an_effect_planted_in_seed_figures_is_recovered_and_a_null_is_not_rejected() -> None:
    n, tries = 6, 400
    rng = np.random.default_rng(5)
    shared = 0.5 + rng.standard_normal((20_000, n))
    a, b = (shared + 0.1 * rng.standard_normal((20_000, n)) for _ in range(2))
    error = 0.1 * math.sqrt(2 / n)
    found = mean_of_seeds(a - b)
    assert 0.04 < (p_of_t(found) < 0.05).mean() < 0.06
    some = [(dict(enumerate(x)), dict(enumerate(y))) for x, y in zip(a[:tries], b[:tries], strict=True)]
    flipped = [contrast(x, y).sign_flip_p for x, y in some]
    assert 0.015 < np.mean([p is not None and p <= 0.05 for p in flipped]) < 0.05
    recovered([contrast({s: v + 3 * error for s, v in x.items()}, y) for x, y in some], 3 * error, error)


def recovered(found: list[Estimate], effect: float, error: float) -> None:
    """The planted size is found on average, covered by as many intervals as should be, and often told from 0."""
    values = [one.value for one in found if one.value is not None]
    ends = [one.ci95 for one in found if one.ci95 is not None]
    assert len(values) == len(ends) == len(found)
    assert np.mean(values) == pytest.approx(effect, abs=4 * error / math.sqrt(len(found)))
    assert np.mean([low <= effect <= high for low, high in ends]) > 0.92
    assert np.mean([low > 0 for low, _ in ends]) > 0.35
