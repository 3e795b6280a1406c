"""`faithful study fakes`: the rules by hand, planted latents, the bound, and the study of a small grid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from studies.common import codes
from studies.common.controls import PERMUTED, UNTRAINED
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel, noise_rows
from studies.fakes import figures as fakes_figures
from studies.fakes.config import NOISE_PASSES, PANEL_PASSES, FakesConfig
from studies.fakes.counts import CONTROLS, FakeCounts
from studies.fakes.rules import (
    OF_NOISE,
)
from studies.fakes.study import study_fakes
from studies.fakes.tables import fakes_tables
from studies.statistics.latents import LATENTS, read_latents
from studies.statistics.sentences import AS_GOOD, standing
from tests.documented import names_of_study, undocumented
from tests.studies.fakes.counted import count, draw

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_batches_do_not_matter() -> None:
    dense = draw([0.05, 0.3, 0.01, 0.9, 0.2, 0.6], 1.0, 1)
    one, other = count(dense, batch=40), count(dense, batch=3)
    assert (one.fired == other.fired).all() and one.resampled is not None and other.resampled is not None
    for name, drawn in vars(one.resampled).items():
        assert (drawn == vars(other.resampled)[name]).all()


def test_the_study(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, kept = [], codes.kept_activations

    def counted(model: Any, rows: Any, *rest: Any) -> Any:
        read.append(len(rows))
        return kept(model, rows, *rest)

    monkeypatch.setattr(codes, "kept_activations", counted)
    config = FakesConfig(saes=(run / "saes",), out=tmp_path, tokens=1000, noise_tokens=2000, device="cpu")
    summary = study_fakes(config).summary
    for figures in summary["corpora"].values():
        assert figures["fake_contrast"]["seeds"] == 3
        assert all(f"fake_contrast_{control}" in figures for control in CONTROLS)
        assert figures["fake_density_1"]["value"] >= figures["fake_density_10"]["value"]
        assert 0 <= figures["fake_density_1_of_bound"]["value"] <= 1
    of = {(one["control"], one["corpus"]): one for one in summary["beside"]}
    assert list(of) == [(control, corpus) for control in (PERMUTED, UNTRAINED) for corpus in ("own", "cool")]
    for (control, corpus), one in of.items():
        metric = "fake_contrast" if control == PERMUTED else "fake_contrast_untrained"
        assert one["of_control"]["value"] == pytest.approx(summary["corpora"][corpus][metric]["value"])
        assert control == UNTRAINED or standing(one) == AS_GOOD, "its codes are those of the trained SAE"
    headline = [one for one in summary["contrasts"] if one["headline"]]
    assert [(one["a"], one["b"], one["metric"], one["texts"]) for one in headline] == [
        ("own", "cool", "fake_contrast_matched", ["own"]), ("own", "cool", "fake_contrast_foreign", ["cool"]),
    ]  # fmt: skip
    assert {one["verdict"] for one in headline} == {"cannot be decided: 3 seeds"}
    assert all(one["error_drawn"] >= 0 and set(one["parts"]) == {"own", "cool"} for one in headline)
    assert summary["sizes"]["noise_tokens"] == 64 * 31
    table = pl.read_parquet(tmp_path / "results.parquet")
    assert set(table["seed"]) == {0, 1, 2}
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    noise = noise_rows(found.spec, 64, 32, 0)
    cells = FakeCounts(found, panel, noise, 0, tmp_path / "cells").cells(1, lambda *_: None)
    latents = read_latents(tmp_path / LATENTS)
    for sae in found.saes:
        assert latents[sae.sha256]["fake"].mean() == pytest.approx(cells[sae.sha256]["figures"]["fake_contrast"])
        assert latents[sae.sha256]["noise"].sum() == pytest.approx(cells[sae.sha256]["l0_noise"], abs=1e-4)
    of_own = [cells[sae.sha256]["resampled"] for sae in found.saes if sae.corpus == "own"]
    units = min(64, len(panel.rows))
    for rule in ("fake_contrast", *OF_NOISE):
        draws = np.mean([drawn[rule] for drawn in of_own], axis=0)
        error = summary["corpora"]["own"][rule]["error_drawn"]
        assert error == pytest.approx(draws.std(ddof=1) * (units / (units - 1)) ** 0.5)
        rows = table.filter((pl.col("metric") == rule) & pl.col("parameter").is_null() & pl.col("other").is_null())
        assert len(rows) == 6 and rows["low"].null_count() == 0 and (rows["low"] <= rows["high"]).all()
    sweep = table.filter((pl.col("metric") == "fake_density") & (pl.col("corpus") == "own") & (pl.col("seed") == 0))
    assert sweep.sort("parameter")["value"].is_sorted(descending=True) and len(sweep) == 7
    for name in ("own", "cool"):
        by_tau = summary["sweeps"]["sweep_tau"][name]
        assert list(by_tau) == ["1", "q0.5", "q0.9", "q0.99"]
        assert by_tau["1"]["0.1"]["value"] == pytest.approx(summary["corpora"][name]["fake_code"]["value"])
        values = [by_tau[tau]["0.01"]["value"] for tau in ("q0.5", "q0.9", "q0.99")]
        assert values == sorted(values, reverse=True) and values[0] > 0
        assert 0 <= summary["sweeps"]["silent_on_panel"][name]["value"] <= 96
    tables = {table.title: table.rows for table in fakes_tables(summary)}
    first, rules, *_ = tables
    assert "64 contexts of random tokens, 1,984 tokens)" in first and rules.endswith("of the first 64 contexts")
    assert "fake_notes" not in [row[0] for row in tables[first]]
    assert summary["sizes"]["fake_notes_contexts"] == 64
    (over_tau,) = [rows for title, rows in tables.items() if title.startswith("Over τ and p")]
    assert len(over_tau) == 4 * 3
    drawn = (tmp_path / "figures" / "sweeps.svg").read_text()
    assert "above τ = 1" in drawn and "99% quantile" in drawn
    shown = bool(summary["examples"])
    passes = PANEL_PASSES if shown else PANEL_PASSES - 1
    assert sum(read) == passes * len(panel.rows) + (NOISE_PASSES + shown) * 64
    monkeypatch.setattr(fakes_figures, "draw", lambda *_: None)
    strong = table.filter(pl.col("metric").is_in(["foreign_text", "woken_text"]) & pl.col("parameter").is_null())
    assert {(one["corpus"], one["other"]) for one in strong.to_dicts()} == {("own", "cool"), ("cool", "own")}
    assert len(strong) == 2 * 6 and strong["low"].null_count() == 0
    for name, other in (("own", "cool"), ("cool", "own")):
        values = strong.filter((pl.col("metric") == "foreign_text") & (pl.col("corpus") == name))["value"]
        assert summary["corpora"][name]["foreign_text"]["value"] == pytest.approx(values.mean())
        assert summary["foreign"]["foreign"][name][other]["value"] == pytest.approx(values.mean())
        assert 0 < summary["corpora"][name]["strong_own"]["value"] <= 1
    (verdict,) = summary["foreign"]["contrasts"]
    assert verdict["verdict"] == "cannot be decided: 3 seeds" and verdict["metric"] not in {
        one["metric"] for one in headline
    }, "a family of its own"
    assert (tmp_path / "figures" / "foreign.svg").exists()
    assert any(title.startswith("Latents that fire strongly") for title in tables)
    again = study_fakes(config)
    assert again.reused == 6 and again.summary["corpora"] == summary["corpora"]
    assert undocumented("Study fakes", names_of_study(tmp_path)) == []


def test_another_share_is_counted_anew(run: Path, tmp_path: Path) -> None:
    config = FakesConfig(saes=(run / "saes" / "own",), out=tmp_path, tokens=600, noise_tokens=620, device="cpu")
    config = replace(config, corpora=(run,))
    first = study_fakes(config).summary
    other = study_fakes(replace(config, foreign_share=0.9))
    assert other.reused == 0 and study_fakes(config).reused == 3
    strong = [one["corpora"]["own"]["strong_own"]["value"] for one in (first, other.summary)]
    assert strong[0] > strong[1]
    assert first["corpora"]["own"]["fake_contrast"] == other.summary["corpora"]["own"]["fake_contrast"]


def test_too_little_noise_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="do not fill a context"):
        study_fakes(FakesConfig(saes=(run / "saes",), out=tmp_path, tokens=1000, noise_tokens=5, device="cpu"))
