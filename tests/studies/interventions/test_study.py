"""The study of a small run: every figure, its controls, the mark, and no verdict."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.interventions import study
from studies.interventions.config import MARK, REASONS, STUDY, InterventionsConfig
from studies.interventions.examples import load_pair
from studies.interventions.study import ROWS_OF_MOMENTS, Bench, study_interventions
from studies.interventions.tables import interventions_tables
from tests.documented import names_of_study, undocumented

NO_TEXT: Any = None
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


def test_the_untrained_start_is_centred_on_texts_of_every_crossing(
    intervened: Intervened, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = intervened[0]
    pair = load_pair(config.pair, config.train_size, config.test_size, config.seed, NO_TEXT)
    monkeypatch.setattr(study, "moments_of", lambda model, rows, ordinary: rows)
    bench = SimpleNamespace(found=SimpleNamespace(truncated=None), rows={"scr": pair.crossing}, ordinary=None)
    counts = np.bincount(Bench.moments.func(bench), minlength=4)  # type: ignore[attr-defined]
    assert counts.min() >= 8 and counts.sum() <= ROWS_OF_MOMENTS


def test_a_class_without_a_test_text_is_refused_before_the_work(intervened: Intervened, tmp_path: Path) -> None:
    path = tmp_path / "three.jsonl"
    rows = [{"text": f"text {n}", "label": "rare" if n < 2 else "ab"[n % 2]} for n in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = replace(intervened[0], out=tmp_path / "out", task=f"{path}:text:label", train_size=8, test_size=8, seed=1)
    with pytest.raises(FaithfulError, match=r"no test text of the class 'rare' .* raise test_size"):
        study_interventions(config)
    assert not config.out.exists()


def test_refusals(intervened: Intervened, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="no number of latents"):
        study_interventions(replace(intervened[0], out=tmp_path, latents=()))
