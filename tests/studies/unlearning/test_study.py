"""The study of a small run, and what it refuses."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from faithful.store.saes import find_saes
from studies.unlearning import study
from studies.unlearning.bench import Bench, Setting
from studies.unlearning.choose import SIDES
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.study import AT_CHANCE, _Shape, study_unlearning
from tests.documented import keys_of_contrasts, names_of_study, undocumented
from tests.studies.random_saes import write_recorded

Unlearned = tuple[UnlearningConfig, dict[str, Any]]


def test_the_summary_says_what_was_asked_and_what_was_lost(unlearned: Unlearned) -> None:
    config, summary = unlearned
    assert [one["corpus"] for one in summary["sides"].values()] == ["own", "cool"]
    assert summary["sides"]["forget"]["count"] == 24 and summary["sides"]["forget"]["chance"] == 0.5
    for found in summary["corpora"].values():
        assert set(found) == {"unlearned", "forget_lost", "retain_lost", "best_of_all"}
        both = found["forget_lost"]["value"] - found["retain_lost"]["value"]
        assert found["unlearned"]["value"] == pytest.approx(both) and found["unlearned"]["error_drawn"] is not None
    table = pl.read_parquet(config.out / "results.parquet")
    curve = table.filter(pl.col("metric") == "forget_lost:0.5:k5")
    assert sorted(curve["parameter"].unique()) == [1, 8] and len(curve) == 12
    of_own = table.filter((pl.col("metric") == "unlearned") & (pl.col("corpus") == "own"))["value"]
    assert of_own.mean() == pytest.approx(summary["corpora"]["own"]["unlearned"]["value"])
    assert {one["control"] for one in summary["beside"]} == {
        "random latents", "permuted decoder", "untrained start",
    }  # fmt: skip
    assert set(table["metric"]) >= {"unlearned_random", "unlearned_permuted", "unlearned_untrained"}
    assert len(list((config.out / "cells").glob("*.pt"))) == 3, "SAEs of two corpora began as one, and are asked as one"


@pytest.mark.parametrize("at_chance", [True, False])
def test_a_model_that_answers_at_chance_decides_nothing(at_chance: bool, tmp_path: Path) -> None:
    """Six seeds that would decide."""
    generator, second = np.random.default_rng(0), np.arange(40) >= 20
    for corpus, seed in product(("own", "cool"), range(6)):
        write_recorded(tmp_path, corpus, seed, 8, 16)
    saes, cells = find_saes([tmp_path]), {}
    for sae in saes:
        kept = [(generator.random(40) < (0.2 if sae.corpus == "own" else 0.8)).astype(int).tolist()]
        clean = {side: [1] * 40 for side in SIDES}
        cells[sae.sha256] = {
            "chosen": [0, 0], "clean": clean, "clamped": {"forget": kept, "retain": [[1] * 40]}, "controls": {},
        }  # fmt: skip
    found: Any = SimpleNamespace(names=["own", "cool"], own="own", controls={})
    bench: Any = SimpleNamespace(settings=[Setting(0.01, 5, 1.0)], seed=0, allowed=0.01)
    halves = dict.fromkeys(SIDES, second)
    of = _Shape(found, saes, cells, bench, halves, at_chance, is_headline=True)
    (headline,) = [one for one in of.statistics["contrasts"] if one["headline"]]
    assert headline["seeds"] == 6
    assert headline["verdict"] == (f"cannot be decided: {AT_CHANCE}" if at_chance else "differs")


def test_every_figure_has_its_line_in_the_documentation(unlearned: Unlearned) -> None:
    config, summary = unlearned
    assert undocumented("Study unlearning", names_of_study(config.out)) == []
    assert undocumented("Statistics", keys_of_contrasts(summary)) == []


def test_frozen_saes_of_the_run_stand_beside(unlearned: Unlearned, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very SAEs as if they were frozen: as good as they are."""
    monkeypatch.setattr(study, "frozen_shapes", lambda _, shape: {"frozen-decoder": shape})
    beside = study.study_unlearning(unlearned[0]).summary["beside"]
    mine = [one for one in beside if one["control"] == "frozen-decoder"]
    assert {one["corpus"] for one in mine} == {"own", "cool"} and all(one["ahead"] == 0 for one in mine)


def test_again_takes_everything_as_it_is(unlearned: Unlearned, monkeypatch: pytest.MonkeyPatch) -> None:
    config, summary = unlearned
    monkeypatch.setattr(Bench, "do", lambda *_: pytest.fail("measured again"))
    again = study_unlearning(config)
    assert again.reused == 6 and again.summary["corpora"] == summary["corpora"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"retain": "own"}, "both own"),
        ({"retain": "web"}, "There is no corpus web to retain"),
        ({"forget_questions": "cool", "retain_questions": None}, "questions of both sides are cool"),
        ({"retain_questions": "nowhere.csv"}, "There is no file nowhere.csv"),
        ({"multipliers": (-1.0,)}, "no setting to clamp with in -1"),
        ({"answers": "guess"}, "no way to answer"),
    ],
)
def test_refusals(unlearned: Unlearned, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        study_unlearning(replace(unlearned[0], out=tmp_path, **change))


def test_one_set_of_questions_is_not_both_sides(unlearned: Unlearned, tmp_path: Path) -> None:
    config = replace(unlearned[0], out=tmp_path, retain_questions=unlearned[0].forget_questions)
    with pytest.raises(FaithfulError, match="name two sets of questions"):
        study_unlearning(config)
