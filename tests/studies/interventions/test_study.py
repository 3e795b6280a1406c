"""The study of a small run: every figure, its controls, the mark, and no verdict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.interventions import study
from studies.interventions.config import MARK, REASONS, STUDY, InterventionsConfig
from studies.interventions.study import Bench, study_interventions
from studies.interventions.tables import interventions_tables
from tests.documented import names_of_study, undocumented

Intervened = tuple[InterventionsConfig, dict[str, Any]]


def test_every_figure_is_there_with_its_controls(intervened: Intervened) -> None:
    config, summary = intervened
    assert set(summary["corpora"]["own"]) == {"scr_n2", "scr_n5", "tpp_n2", "tpp_n5"}
    assert {one["control"] for one in summary["beside"]} == {"random latents", "permuted decoder", "untrained start"}
    table = pl.read_parquet(config.out / "results.parquet")
    of_own = table.filter((pl.col("metric") == "tpp") & (pl.col("corpus") == "own") & (pl.col("parameter") == 5))[
        "value"
    ]
    assert len(of_own) == 3 and of_own.mean() == pytest.approx(summary["corpora"]["own"]["tpp_n5"]["value"])
    assert min(summary["asked"]["accuracies"]) > 0.9
    assert len(list((config.out / "cells").glob("*.pt"))) == 3, "SAEs of two corpora began as one"
    assert undocumented("Study interventions", names_of_study(config.out)) == []


def test_it_says_what_it_is_not_and_has_no_verdict(intervened: Intervened) -> None:
    summary: Any = intervened[1]
    assert STUDY.headline is None and STUDY.optional and summary["contrasts"] == []
    assert STUDY.warnings(summary) == [REASONS] and MARK in STUDY.meaning
    tables = interventions_tables(summary)
    assert sum(table.title.startswith(MARK) for table in tables) == 2
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)


def test_frozen_saes_of_the_run_stand_beside(intervened: Intervened, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very SAEs as if they were frozen: as good as they are."""
    monkeypatch.setattr(study, "frozen_shapes", lambda _, shape: {"frozen-decoder": shape})
    beside = study.study_interventions(intervened[0]).summary["beside"]
    mine = [one for one in beside if one["control"] == "frozen-decoder"]
    assert {one["corpus"] for one in mine} == {"own", "cool"} and all(one["ahead"] == 0 for one in mine)


def test_again_takes_everything_as_it_is(intervened: Intervened, monkeypatch: pytest.MonkeyPatch) -> None:
    config, summary = intervened
    monkeypatch.setattr(Bench, "do", lambda *_: pytest.fail("measured again"))
    again = study_interventions(config)
    assert again.reused == 6 and again.summary["corpora"] == summary["corpora"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latents": ()}, "no number of latents"),
        ({"train_size": 4}, "at least 8 texts"),
    ],
)
def test_refusals(intervened: Intervened, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        study_interventions(replace(intervened[0], out=tmp_path, **change))
