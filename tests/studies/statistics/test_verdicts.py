"""The statistics of the studies: hand-checked figures, refusals, verdicts, sentences, and a short calibration."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.statistics.components import mean_of_pairs
from studies.statistics.estimates import Estimate, bootstrap_ci95, contrast, estimate
from studies.statistics.parts import Parts
from studies.statistics.verdicts import CONDITIONAL, Comparison, judge, reverses, summarise, verdict
from tests.studies.headlines import HEADLINES
from tests.studies.statistics.drawn import (
    FLAT,
    ON_OWN,
    OWN,
    PAIRS,
    PILE,
    RATIOS,
    as_pairs,
    drawn_figures,
    many_pairs,
    noisy,
    p_of_t,
    random_pairs,
)

# figures per seed


# figures per pair


# degenerate input


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


def test_the_parts_of_all_contrasts_are_one_family() -> None:
    entries = [one for one in summarise(HEADLINES["reconstruction"], {}, "own", PARTS)["contrasts"] if one["headline"]]
    parts = {(one["b"], name): part for one in entries for name, part in one["parts"].items()}
    assert len(parts) == 6
    smallest = min(part["p"] for part in parts.values())
    assert min(part["p_holm"] for part in parts.values()) == pytest.approx(6 * smallest)


def test_few_seeds_decide_nothing_about_parts_either() -> None:
    few = {
        part: {name: {s: values[s] for s in range(4)} for name, values in of.items()}
        for part, of in PARTS.figures.items()
    }
    entries = summarise(HEADLINES["reconstruction"], {}, "own", Parts(few, PARTS.matched, PARTS.foreign))["contrasts"]
    assert {one["verdict"] for one in entries} == {"cannot be decided: 4 seeds"}


# what else was drawn


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


# calibration: the full tables are those of benchmarks/inference_calibration.py


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
