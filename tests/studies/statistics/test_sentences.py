"""Contrasts in words."""

import re

import pytest

from studies.statistics.estimates import t_reach
from studies.statistics.verdicts import Comparison, judge
from tests.studies.headlines import HEADLINES
from tests.studies.statistics.drawn import (
    FLAT,
    headline,
    noisy,
)


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
