"""The study of a small run, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.unlearning.bench import Bench
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.study import AT_CHANCE, study_unlearning
from tests.documented import keys_of_contrasts, names_of_study, undocumented

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
    assert {one["control"] for one in summary["beside"]} == {"random latents", "permuted decoder"}


def test_a_model_that_answers_at_chance_decides_nothing(unlearned: Unlearned) -> None:
    summary = unlearned[1]
    assert summary["sides"]["forget"]["at_chance"]
    (headline,) = [one for one in summary["contrasts"] if one["headline"]]
    assert headline["verdict"] in ("cannot be decided: 3 seeds", f"cannot be decided: {AT_CHANCE}")


def test_every_figure_has_its_line_in_the_documentation(unlearned: Unlearned) -> None:
    config, summary = unlearned
    assert undocumented("Study unlearning", names_of_study(config.out)) == []
    assert undocumented("Statistics", keys_of_contrasts(summary)) == []


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
        ({"retain_questions": None}, "no questions about cool"),
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
