"""The statistics of the studies: hand-checked figures, refusals, verdicts, sentences, and a short calibration."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.statistics.components import Mean, mean_of_pairs, mean_of_seeds, sign_flip_p
from studies.statistics.estimates import Estimate, bootstrap_ci95, contrast, estimate, t_reach
from studies.statistics.parts import Parts
from studies.statistics.resampled import Resampled, resample_counts
from studies.statistics.verdicts import CONDITIONAL, Comparison, judge, reverses, summarise, verdict
from tests.studies.headlines import HEADLINES

OWN = {seed: 0.50 + 0.01 * value for seed, value in enumerate((0, 2, 1, 3, 1, 2))}
PILE = {seed: 0.47 + 0.01 * value for seed, value in enumerate((1, 0, 2, 1, 0, 2))}
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


# figures per seed


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


# figures per pair


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


# degenerate input


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


def test_refusals() -> None:
    with pytest.raises(FaithfulError, match="leave out seed 3 with itself"):
        estimate({(3, 3): 1.0, (1, 2): 0.5})
    with pytest.raises(FaithfulError, match="cannot be contrasted"):
        contrast(OWN, {(0, 1): 0.5})
    with pytest.raises(FaithfulError, match="mixed"):
        estimate({0: 1.0, (0, 1): 0.5})  # type: ignore[dict-item]
    with pytest.raises(FaithfulError, match="fvu is not the headline of the study"):
        judge(HEADLINES["seeds"], [Comparison("own", "pile", "fvu", OWN, PILE, headline=True)])
    with pytest.raises(FaithfulError, match="at least one example"):
        bootstrap_ci95(0, lambda counts: 0.0, 0)


# verdicts


def made(low: float, high: float, seeds: int = 6) -> Estimate:
    ends = (low, high)
    return Estimate((low + high) / 2, 0.1, 5.0, ends, 0.5, None, 0.5, 2 / 2**seeds, tuple(range(seeds)), (), True)


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "seeds", "said"),
    [
        (0.012, 0.05, 0.01, 6, "differs"),
        (-0.05, -0.001, 0.049, 6, "differs"),
        (0.001, 0.009, 0.02, 6, "differs by less than the margin"),
        (-0.004, 0.006, 0.6, 6, "no relevant difference"),
        (0.001, 0.009, 0.06, 8, "no relevant difference"),
        (-0.01, 0.01, 1.0, 6, "no relevant difference"),
        (-0.004, 0.011, 0.6, 6, "cannot tell"),
        (0.001, 0.03, 0.05, 6, "cannot tell"),
        (0.012, 0.05, 0.0001, 5, "cannot be decided: 5 seeds"),
        (0.012, 0.05, 0.0001, 1, "cannot be decided: 1 seed"),
    ],
)
def test_verdicts(low: float, high: float, p_holm: float, seeds: int, said: str) -> None:
    assert verdict(made(low, high, seeds), p_holm, 0.01) == said


def test_margins_are_those_of_metrics() -> None:
    assert {study: (one.metrics, one.margin) for study, one in HEADLINES.items()} == {
        "seeds": (("shared_feature_ratio",), 0.01),
        "fakes": (("fake_contrast_matched", "fake_contrast_foreign"), 0.001),
        "probes": (("accuracy",), 0.01),
        "reconstruction": (("ce_recovered_matched", "ce_recovered_foreign"), 0.005),
    }


def noisy(mean: float, spread: float, seed: int, n: int = 6) -> dict[int, float]:
    """Figures with exactly this mean and standard deviation."""
    values = np.random.default_rng(seed).standard_normal(n)
    values = (values - values.mean()) / values.std(ddof=1)
    return {i: float(value) for i, value in enumerate(mean + spread * values)}


FLAT = dict.fromkeys(range(6), 0.0)


def headline(study: str, difference: float, spread: float, b: str = "pile", n: int = 6) -> dict[str, Any]:
    figures = noisy(difference, spread, 0, n)
    return judge(HEADLINES[study], [Comparison("own", b, HEADLINES[study].metrics[0], figures, FLAT, headline=True)])[0]


def test_holm_is_over_the_headlines_alone() -> None:
    others = {"b": 0.03, "c": 0.02, "d": 0.001}
    comparisons = [Comparison("own", n, "accuracy", noisy(m, 0.015, 1), FLAT, headline=True) for n, m in others.items()]
    explored = [Comparison("own", n, "majority", noisy(m, 0.015, 1), FLAT) for n, m in others.items()]
    entries = judge(HEADLINES["probes"], [*explored, *comparisons])
    p = [entry["p"] for entry in entries[3:]]
    assert p == sorted(p)
    assert [entry["p_holm"] for entry in entries[3:]] == pytest.approx(
        [3 * p[0], max(3 * p[0], 2 * p[1]), max(3 * p[0], 2 * p[1], p[2])]
    )
    for entry in entries[:3]:
        assert (entry["p_holm"], entry["margin"], entry["verdict"], entry["headline"]) == (
            None, None, "exploratory", False,
        )  # fmt: skip


def test_degrees_of_freedom_stand_beside_each_contrast() -> None:
    pairs = random_pairs(1, 6)
    contrasts = [
        Comparison("own", "b", "accuracy", OWN, PILE),
        Comparison("own", "b", "pw_mcc", as_pairs(pairs), dict.fromkeys(PAIRS, 0.1)),
        Comparison("own", "b", "accuracy", {0: 1.0, 1: 2.0}, {0: 0.5, 1: 0.7}),
    ]
    of_seeds, of_pairs, too_few = (entry["df"] for entry in judge(HEADLINES["probes"], contrasts))
    assert (of_seeds, too_few) == (5, None) and of_pairs == pytest.approx(float(mean_of_pairs(pairs).freedom))
    assert 3 <= of_pairs < 5


def test_a_headline_without_p_counts_in_the_family() -> None:
    comparisons = [
        Comparison("own", "b", "accuracy", noisy(0.03, 0.015, 1), FLAT, headline=True),
        Comparison("own", "c", "accuracy", {0: 0.1}, FLAT, headline=True),
    ]
    entries = judge(HEADLINES["probes"], comparisons)
    assert entries[0]["p_holm"] == pytest.approx(2 * entries[0]["p"])
    assert (entries[1]["p_holm"], entries[1]["verdict"]) == (None, "cannot be decided: 1 seed")


# sentences


@pytest.mark.parametrize(
    ("study", "difference", "spread", "sentence"),
    [
        (
            "seeds", 0.031, 0.018,
            "own-corpus SAEs share 3.1 points more features across seeds than pile-corpus SAEs"
            " (1.2 to 5.0; Holm p 0.0083; 6 seeds)",
        ),
        (
            "seeds", -0.031, 0.018,
            "own-corpus SAEs share 3.1 points fewer features across seeds than pile-corpus SAEs"
            " (1.2 to 5.0; Holm p 0.0083; 6 seeds)",
        ),
        (
            "seeds", 0.001, 0.005,
            "no relevant difference between own and pile in features shared across seeds (−0.4 to 0.6 points; 6 seeds)",
        ),
        (
            "seeds", 0.02, 0.03,
            "cannot tell own and pile apart in features shared across seeds (−1.1 to 5.1 points; Holm p 0.16; 6 seeds)",
        ),
        (
            "fakes", -0.0035, 0.0012,
            "own-corpus SAEs have fewer fake features than pile-corpus SAEs, by 0.35 points of all latents"
            " (0.22 to 0.48; Holm p 0.00083; 6 seeds)",
        ),
        (
            "probes", 0.005, 0.003,
            "probes on the codes of own-corpus SAEs are 0.5 points more accurate than on those of pile-corpus SAEs"
            " (0.2 to 0.8; Holm p 0.0095; 6 seeds), by less than the margin of 1 point",
        ),
        (
            "reconstruction", -0.012, 0.003,
            "own-corpus SAEs recover 0.012 less of the cross-entropy than pile-corpus SAEs"
            " (0.009 to 0.015; Holm p 0.00019; 6 seeds)",
        ),
    ],
)  # fmt: skip
def test_sentences(study: str, difference: float, spread: float, sentence: str) -> None:
    assert headline(study, difference, spread)["sentence"] == sentence


def test_sentences_without_a_decision() -> None:
    few = headline("seeds", -0.031, 0.018, n=4)["sentence"]
    assert few == (
        "cannot be decided: 4 seeds; own-corpus SAEs share 3.1 points fewer features across seeds than pile-corpus SAEs"
        " (0.2 to 6.0; 4 seeds; seeds 4, 5 left out)"
    )
    assert "(no interval; 2 seeds; " in headline("seeds", 0.031, 0.018, n=2)["sentence"]
    nothing = judge(HEADLINES["seeds"], [Comparison("own", "pile", "shared_feature_ratio", {}, {}, headline=True)])[0]
    assert nothing["difference"] is None and nothing["verdict"] == "cannot be decided: 0 seeds"
    assert nothing["sentence"].endswith("shared_feature_ratio of own and pile has no figures to compare (0 seeds)")
    explored = judge(HEADLINES["seeds"], [Comparison("own", "pile", "pw_mcc", noisy(-0.02, 0.01, 0), FLAT)])[0][
        "sentence"
    ]
    assert explored == "pw_mcc, own minus pile: −0.02 (−0.03049 to −0.009506; 6 seeds; exploratory)"


def test_small_numbers_are_not_rounded_away_and_p_not_onto_alpha() -> None:
    assert "share 0.03 points more" in headline("seeds", 0.0003, 0.0001)["sentence"]
    difference = 0.0104943 * t_reach(5) / 2.5705818
    sentence = headline("probes", difference, 0.01)["sentence"]
    p = re.search(r"Holm p ([\d.]+)", sentence)
    assert p is not None and float(p[1]) != 0.05 and float(p[1]) == pytest.approx(0.05, abs=2e-4)


# the panel and positions


def test_parts_reverse_where_two_are_significant_with_opposite_signs() -> None:
    def said(verdict: str, difference: float | None) -> dict[str, Any]:
        return {"verdict": verdict, "difference": difference}

    more, less = said("differs", 0.03), said("differs by less than the margin", -0.002)
    no_matter = [
        said("no relevant difference", -0.001),
        said("cannot tell", -0.2),
        said("cannot be decided: 4 seeds", -1.0),
    ]
    assert reverses({"parts": {"a": more, "b": less}})
    assert not reverses({"parts": dict(enumerate([more, *no_matter, said("cannot be decided: 0 seeds", None)]))})
    assert not reverses({"parts": {"a": more, "b": more}}) and not reverses({})


ON_OWN = {"own": noisy(0.93, 0.001, 1), "prose": noisy(0.67, 0.002, 2), "web": noisy(0.93, 0.001, 3)}
ON_PROSE = {"own": noisy(0.94, 0.001, 4), "prose": noisy(0.99, 0.001, 5), "web": noisy(0.93, 0.001, 6)}
ON_WEB = {"own": noisy(0.93, 0.001, 7), "prose": noisy(0.67, 0.001, 8), "web": noisy(0.92, 0.001, 9)}
PARTS = Parts({"prose": ON_PROSE, "own": ON_OWN, "web": ON_WEB}, matched=("own",), foreign=("prose", "web"))


def test_matched_and_foreign_text_are_the_headlines_and_their_mixture_is_none() -> None:
    """The pooled panel says that own recovers more; of two corpora of which either is ahead, neither is."""
    pooled = {name: noisy(value, 0.001, 10) for name, value in (("own", 0.93), ("prose", 0.74), ("web", 0.93))}
    summary = summarise(HEADLINES["reconstruction"], {"ce_recovered": pooled, "fvu": pooled}, "own", PARTS)
    entries = {(one["b"], one["metric"]): one for one in summary["contrasts"]}
    headlines = [key for key, one in entries.items() if one["headline"]]
    assert headlines == [
        ("prose", "ce_recovered_matched"), ("web", "ce_recovered_matched"),
        ("prose", "ce_recovered_foreign"), ("web", "ce_recovered_foreign"),
    ]  # fmt: skip
    assert entries["prose", "ce_recovered"]["verdict"] == "exploratory"
    assert summary["texts"] == {"matched": ["own"], "foreign": ["prose", "web"]}
    matched, foreign = (entries["prose", f"ce_recovered_{text}"] for text in ("matched", "foreign"))
    assert matched["difference"] == pytest.approx(0.26) and foreign["difference"] == pytest.approx((-0.05 + 0.26) / 2)
    assert summary["corpora"]["web"]["ce_recovered_foreign"]["value"] == pytest.approx(0.925)
    assert matched["verdict"] == foreign["verdict"] == "depends on the text"
    assert list(matched["parts"]) == ["own", "prose", "web"] and matched["parts"] == foreign["parts"]
    assert "on matched text (own), own-corpus SAEs recover 0.260 more" in matched["sentence"]
    assert re.search(r"recover 0.050 less on prose \(0.04\d to 0.05\d\) and 0.260 more on web", matched["sentence"])
    assert re.search(r"recover 0.260 more on own \(.*\), 0.050 less on prose .* and 0.260 more on", foreign["sentence"])
    web = entries["web", "ce_recovered_foreign"]
    assert web["verdict"] == "differs"
    assert "; one by one: of the cross-entropy, own-corpus SAEs recover 0.010 more on prose" in web["sentence"]


def test_a_mean_of_nothing_never_hides_what_each_part_shows() -> None:
    """+5 points on one task and −5 on another are no 'no relevant difference'."""
    tasks = {"a": {"own": noisy(0.85, 0.002, 1), "b": noisy(0.8, 0.002, 2)}}
    tasks["b"] = {"own": noisy(0.8, 0.002, 3), "b": noisy(0.85, 0.002, 4)}
    whole = {"accuracy": {"own": noisy(0.825, 0.001, 5), "b": noisy(0.825, 0.001, 6)}}
    assert summarise(HEADLINES["probes"], whole, "own")["contrasts"][0]["verdict"] == "no relevant difference"
    (entry,) = summarise(HEADLINES["probes"], whole, "own", Parts(tasks))["contrasts"]
    assert entry["verdict"] == "depends on the task"
    assert "reach 5.0 points more on a (" in entry["sentence"] and "5.0 points less on b (" in entry["sentence"]


def test_the_parts_of_all_contrasts_are_one_family() -> None:
    entries = [one for one in summarise(HEADLINES["reconstruction"], {}, "own", PARTS)["contrasts"] if one["headline"]]
    parts = {(one["b"], name): part for one in entries for name, part in one["parts"].items()}
    assert len(parts) == 6
    smallest = min(part["p"] for part in parts.values())
    assert min(part["p_holm"] for part in parts.values()) == pytest.approx(6 * smallest)


def test_a_panel_of_own_text_alone_has_no_headline_on_foreign_text() -> None:
    summary = summarise(HEADLINES["fakes"], {}, "own", Parts({"own": ON_OWN}, matched=("own",)))
    assert {one["metric"] for one in summary["contrasts"]} == {"fake_contrast_matched"}
    assert "one by one" not in summary["contrasts"][0]["sentence"]


def test_few_seeds_decide_nothing_about_parts_either() -> None:
    few = {
        part: {name: {s: values[s] for s in range(4)} for name, values in of.items()}
        for part, of in PARTS.figures.items()
    }
    entries = summarise(HEADLINES["reconstruction"], {}, "own", Parts(few, PARTS.matched, PARTS.foreign))["contrasts"]
    assert {one["verdict"] for one in entries} == {"cannot be decided: 4 seeds"}


# what else was drawn


def drawn_figures(seed: int, seeds: int, units: int, of_units: float, of_seeds: float) -> Resampled:
    """Means over units whose effects all seeds share, with resamples."""
    rng = np.random.default_rng(seed)
    x = of_units * rng.standard_normal(units) + of_seeds * rng.standard_normal((seeds, 1))
    counts = resample_counts(units, 0, "units")
    return Resampled(dict(enumerate(x.mean(1).tolist())), {s: counts @ x[s] / units for s in range(seeds)}, units)


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


def test_a_contrast_pairs_the_resamples() -> None:
    """What the examples do to both sides alike is no uncertainty of their difference."""
    one = drawn_figures(1, 6, 100, 1.0, 0.1)
    other = Resampled(
        {s: value - 0.5 for s, value in one.items() if value}, {s: d - 0.5 for s, d in one.draws.items()}, 100
    )
    found = contrast(one, other)
    assert found.value == pytest.approx(0.5) and found.error_drawn == pytest.approx(0, abs=1e-12)
    assert contrast(one, drawn_figures(2, 6, 100, 1.0, 0.1)).error_drawn == pytest.approx(0.14, rel=0.3)
    mean = Resampled.mean([one, other])
    assert mean[0] == pytest.approx((one[0] or 0) - 0.25) and mean.draws[3] == pytest.approx(one.draws[3] - 0.25)


def test_a_single_context_gives_no_interval_and_no_verdict() -> None:
    """The seeds agree on what it did to them, so that their spread alone would be called a difference."""
    one, other = drawn_figures(1, 6, 1, 1.0, 0.001), drawn_figures(2, 6, 1, 1.0, 0.001)
    plain = judge(
        HEADLINES["reconstruction"], [Comparison("own", "b", "ce_recovered_foreign", dict(one), dict(other), True)]
    )[0]
    entry = judge(HEADLINES["reconstruction"], [Comparison("own", "b", "ce_recovered_foreign", one, other, True)])[0]
    assert plain["verdict"] == "differs" and plain["difference"] == entry["difference"]
    assert entry["ci95"] is entry["p"] is entry["p_holm"] is None
    assert entry["verdict"] == "cannot be decided: too few examples or contexts for an interval"
    assert entry["sentence"].startswith(entry["verdict"]) and "no interval" in entry["sentence"]
    assert estimate(one).summary() == {"value": estimate(one).value, "ci95": None, "seeds": 6}


def test_resamples_are_the_same_for_who_states_the_same() -> None:
    assert (resample_counts(9, 1, "a") == resample_counts(9, 1, "a")).all()
    assert (resample_counts(9, 1, "a") != resample_counts(9, 1, "b")).any()
    assert (resample_counts(9, 1, "a").sum(1) == 9).all()


def test_a_verdict_says_where_the_examples_are_too_few() -> None:
    one, other = drawn_figures(1, 6, 50, 0.2, 0.001), drawn_figures(2, 6, 50, 0.2, 0.001)
    entry = judge(HEADLINES["probes"], [Comparison("own", "b", "accuracy", one, other, headline=True)])[0]
    assert entry["verdict"] == "cannot tell" and entry["error_drawn"] > 10 * entry["error_seeds"]
    assert (
        "the test examples alone leave ±" in entry["sentence"]
        and "more than the margin of 1 point" in entry["sentence"]
    )
    said = summarise(HEADLINES["probes"], {"accuracy": {"own": one, "b": other}}, "own")["conditional_on"]
    assert said == (
        "Intervals and p-values are over init seeds and over the test examples, given the corpora as they were drawn."
    )


@pytest.mark.parametrize(("units", "of_seed"), [(60, 0.0), (60, 0.05), (256, 0.05)])
def test_exchanged_answers_are_rejected_no_more_often_than_said(units: int, of_seed: float) -> None:
    """Two corpora's answers are exchanged example by example, for all seeds at once: whatever a test finds is chance.

    Over seeds alone it finds far more than 5 %; with the examples at most 5.5 % (here 600 exchanges, ± 1.8 %).
    """
    rng = np.random.default_rng(units)
    seeds, tries = 6, 600
    right = rng.random((2, seeds, units)) < np.clip(0.7 + 0.25 * rng.standard_normal((2, 1, units)), 0.02, 0.98)
    right = right ^ (rng.random((2, seeds, units)) < of_seed)
    difference = right[0].astype(float) - right[1]
    counts = resample_counts(units, 0, "examples")
    rejected = np.zeros(2)
    for _ in range(tries):
        x = difference * rng.choice([-1.0, 1.0], units)
        figures = dict(enumerate(x.mean(1).tolist()))
        with_examples = estimate(Resampled(figures, {s: counts @ x[s] / units for s in range(seeds)}, units)).p
        alone = estimate(figures).p
        rejected += [alone is not None and alone < 0.05, with_examples is not None and with_examples < 0.05]
    assert rejected[0] / tries > 0.08 and rejected[1] / tries < 0.065


def test_corpora_that_fill_other_positions_are_named() -> None:
    positions = {"own": np.array([0, 50, 50]), "pile": np.array([0, 50, 30, 20]), "web": np.array([0, 55, 45])}
    figures = {"accuracy": {name: noisy(0.8, 0.01, i) for i, name in enumerate(positions)}}
    pile, web = summarise(HEADLINES["probes"], figures, "own", positions=positions)["contrasts"]
    assert pile["position_distance"] == pytest.approx(0.2) and "position_distance" not in web
    assert "own and pile fill different positions (total variation 0.20; control: a length-matched" in pile["sentence"]
    assert "positions" not in web["sentence"]


# the summary


def test_summary_is_plain_json_of_the_agreed_shape() -> None:
    names = ("web", "own", "pile")
    shared = {name: as_pairs(0.1 * random_pairs(i, 6)) for i, name in enumerate(names)}
    broken: Mapping[str, Any] = {name: {np.int64(s): math.nan for s in range(6)} for name in names}
    summary = summarise(HEADLINES["seeds"], {"shared_feature_ratio": shared, "pw_mcc": shared, "broken": broken}, "own")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["conditional_on"] == CONDITIONAL
    assert set(summary["corpora"]) == set(names)
    assert set(summary["corpora"]["own"]["pw_mcc"]) == {"value", "ci95", "seeds"}
    assert summary["corpora"]["own"]["broken"]["left_out"] == list(range(6))
    contrasts = summary["contrasts"]
    assert [(one["a"], one["b"]) for one in contrasts] == [("own", "web"), ("own", "pile")] * 3
    assert [one["headline"] for one in contrasts] == [True, True] + [False] * 4
    assert set(contrasts[0]) == {
        "a", "b", "metric", "difference", "ci95", "df", "p", "p_holm", "verdict", "sign_flip_p", "sign_flip_least",
        "jackknife_ci95", "seeds", "left_out", "headline", "margin", "sentence", "text", "texts", "error_seeds",
        "error_drawn",
    }  # fmt: skip
    assert contrasts[0]["jackknife_ci95"] is not None and contrasts[0]["seeds"] == 6


def test_without_an_own_corpus_everything_is_exploratory() -> None:
    figures = {"shared_feature_ratio": {name: as_pairs(random_pairs(i, 6)) for i, name in enumerate("abc")}}
    contrasts = summarise(HEADLINES["seeds"], figures, None)["contrasts"]
    assert [(one["a"], one["b"]) for one in contrasts] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert not any(one["headline"] for one in contrasts)
    assert summarise(HEADLINES["seeds"], figures, "elsewhere")["contrasts"] == []


def test_only_the_first_shape_has_headlines() -> None:
    """Further shapes are built exploratory, so that nothing of a verdict is left on them."""
    figures = {"accuracy": {"own": noisy(0.03, 0.015, 1), "pile": FLAT}, "macro_f1": {"own": FLAT, "pile": FLAT}}
    parts = Parts({"pile": {"own": noisy(-0.03, 0.015, 2), "pile": FLAT}})
    first = summarise(HEADLINES["probes"], figures, "own", parts)["contrasts"]
    assert [one["headline"] for one in first] == [True, False] and "parts" in first[0]
    for one in summarise(HEADLINES["probes"], figures, "own", parts, is_headline=False)["contrasts"]:
        assert (one["headline"], one["margin"], one["p_holm"], one["verdict"]) == (False, None, None, "exploratory")
        assert "parts" not in one and one["sentence"].endswith("6 seeds; exploratory)")


@pytest.mark.parametrize("own", ["own", None])
def test_fewer_than_six_seeds_decide_nothing_anywhere(own: str | None) -> None:
    few = {seed: 0.1 * seed for seed in range(4)}
    figures = {metric: {"own": few, "pile": dict.fromkeys(range(4), 0.0)} for metric in ("fake_contrast", "fake_code")}
    contrasts = summarise(HEADLINES["fakes"], figures, own)["contrasts"]
    assert {one["verdict"] for one in contrasts} == {"cannot be decided: 4 seeds"}
    assert all(one["sentence"].startswith("cannot be decided: 4 seeds; ") for one in contrasts)
    assert not any(one["headline"] for one in contrasts), "of both texts together there is no headline"


def test_a_control_is_contrasted_with_the_corpus_whose_lengths_it_has_outside_the_family() -> None:
    names = {"own": noisy(0.03, 0.015, 1), "pile": FLAT, "own-like-pile": noisy(0.02, 0.015, 2)}
    figures = {"accuracy": names, "macro_f1": names}
    plain = summarise(HEADLINES["probes"], figures, "own")["contrasts"]
    found = summarise(HEADLINES["probes"], figures, "own", controls={"own-like-pile": "pile", "own-shuffled": "own"})[
        "contrasts"
    ]
    (more,) = [one for one in found if one not in plain]
    assert (more["a"], more["b"], more["metric"], more["headline"]) == ("own-like-pile", "pile", "accuracy", False)
    assert more["difference"] == pytest.approx(0.02) and len(found) == len(plain) + 1


def test_a_missing_headline_says_why() -> None:
    nothing = dict.fromkeys(range(6), None)
    figures = {"accuracy": {"own": nothing, "pile": nothing}, "accuracy:sst2": {"own": FLAT, "pile": FLAT}}
    one, other = summarise(HEADLINES["probes"], figures, "own", undefined="every task is at its ceiling")["contrasts"]
    assert one["verdict"] == "cannot be decided: every task is at its ceiling"
    assert "no figures to compare (every task is at its ceiling; 0 seeds; " in one["sentence"]
    assert other["verdict"] == "exploratory"


# bootstrap


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


# calibration: the full tables are those of benchmarks/inference_calibration.py

RATIOS = [(1, 0), (1, 1), (1, 4), (0, 1)]


def p_of_t(found: Mean) -> np.ndarray:
    from scipy.special import stdtr

    p: np.ndarray = 2 * stdtr(found.freedom, -np.abs(found.value) / found.error)
    return p


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


@pytest.mark.parametrize("size", [3, 6, 12])
@pytest.mark.parametrize(("seed_part", "noise"), RATIOS)
def test_a_family_that_shares_the_own_corpus_errs_no_more_often_than_one_contrast(
    size: int, seed_part: float, noise: float
) -> None:
    """Holm lets one through where the smallest p is below 0.05 over the size of the family."""
    n, tries = 8, 4000
    own = many_pairs(0, tries, n, seed_part, noise)
    others = (many_pairs(1 + place, tries, n, seed_part, noise) for place in range(size))
    p = np.array([p_of_t(mean_of_pairs(own - other)) for other in others])
    assert (p.min(0) < 0.05 / size).mean() <= 0.06


def test_degrees_of_freedom_are_never_more_than_seeds_minus_one() -> None:
    """Where σ²_seed is floored the variance came out low by chance: more degrees there would trust it more."""
    found = mean_of_pairs(many_pairs(0, 2000, 8, 0.0, 1.0))
    floored = found.seed_variance == 0
    assert 0.3 < floored.mean() < 0.9
    assert (found.freedom[floored] == 7).all() and (found.freedom <= 7).all() and (found.freedom >= 4).all()


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
