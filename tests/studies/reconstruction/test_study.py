"""`faithful study reconstruction`: known answers, the panel as pooled parts, reduced k, and what is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.models.spec import ModelSpec
from studies.common.codes import Moments
from studies.common.config import StudyConfig
from studies.common.controls import PERMUTED, UNTRAINED, control_saes
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.fakes.study import fakes_leave_open
from studies.probes.study import probes_leave_open
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.measure import PANEL
from studies.reconstruction.study import reconstruction_leaves_open, study_reconstruction
from studies.reconstruction.tables import reconstruction_tables
from studies.report.parts import notes
from studies.statistics.sentences import BEHIND, standing
from tests.documented import names_of_study, undocumented

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_matrices_are_by_training_corpus_and_text(
    studied: tuple[ReconstructionConfig, dict[str, Any]], run: Path
) -> None:
    config, summary = studied
    assert list(summary["matrices"]["fvu"]) == ["own", "cool"]
    assert list(summary["matrices"]["fvu"]["own"]) == ["cool", "own", PANEL]
    table = pl.read_parquet(config.out / "results.parquet")
    chosen = table.filter(
        (pl.col("corpus") == "own")
        & (pl.col("other") == "cool")
        & (pl.col("metric") == "fvu")
        & (pl.col("parameter") == 4)
    )
    assert chosen["value"].mean() == pytest.approx(summary["matrices"]["fvu"]["own"]["cool"]["value"])
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    sae = found.saes[3]
    assert (sae.corpus, sae.seed) == ("own", 0)
    text = torch.cat(
        [found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.parts["cool"]]
    )
    error = (text - sae.load().reconstruct(text)).double().square().sum()
    fvu = float(error / (text.double() - text.double().mean(0)).square().sum())
    assert chosen.filter(pl.col("seed") == 0)["value"].item() == pytest.approx(fvu, rel=1e-4)


def test_every_figure_has_its_line_in_the_documentation(
    studied: tuple[ReconstructionConfig, dict[str, Any]],
) -> None:
    assert undocumented("Study reconstruction", names_of_study(studied[0].out)) == []


def test_losses_of_contexts_add_up_and_their_draw_is_part_of_the_interval(
    studied: tuple[ReconstructionConfig, dict[str, Any]],
) -> None:
    cells = [json.loads(path.read_text()) for path in (studied[0].out / "cells").glob("*.json")]
    for cell in cells:
        for part, by_k in cell["contexts"].items():
            for k, losses in by_k.items():
                figures, tokens = cell["figures"][part][k], sum(losses["tokens"])
                assert tokens == figures["scored_tokens"]
                for name in ("ce_clean", "ce_sae", "ce_zero", "kl"):
                    assert sum(losses[name]) / tokens == pytest.approx(figures[name])
    for of in studied[1]["matrices"]["ce_recovered"].values():
        assert all(one["error_drawn"] > 0 for one in of.values())
        assert of[PANEL]["error_drawn"] < max(one["error_drawn"] for one in of.values())
    assert all("error_drawn" not in one for of in studied[1]["matrices"]["fvu"].values() for one in of.values())
    headlines = [one for one in studied[1]["contrasts"] if one["headline"]]
    assert [(one["metric"], one["texts"]) for one in headlines] == [
        ("ce_recovered_matched", ["own"]), ("ce_recovered_foreign", ["cool"]),
    ]  # fmt: skip
    for one in headlines:
        (name,) = one["texts"]
        assert one["parts"][name]["difference"] == one["difference"] and one["error_drawn"] > 0


def test_the_report_names_the_figures_whose_intervals_are_over_the_seeds_alone(
    studied: tuple[ReconstructionConfig, dict[str, Any]],
) -> None:
    summary = studied[1]
    (said,) = [note for note in notes("reconstruction", summary) if "hold both" in note]
    named = said.partition("Intervals of ")[2].partition(" are over the seeds alone")[0]
    alone = {metric for metric, one in summary["corpora"]["own"].items() if "error_drawn" not in one}
    assert set(named.replace(" and ", ", ").split(", ")) == alone


def test_a_study_says_before_its_work_what_it_leaves_open(run: Path, tmp_path: Path) -> None:
    points: list[Progress] = []
    config = ReconstructionConfig(saes=(run / "saes",), out=tmp_path, tokens=300, device="cpu", ks=(1,))
    study_reconstruction(config, points.append)
    first, *rest = points
    assert first.note.startswith("Before the work: ") and "more than the margin of 0.005" in first.note
    assert all(point.total and point.unit == "contexts" for point in rest)
    spliced = [(point.done, point.total) for point in rest if point.step.startswith("cross-entropy on own")]
    assert spliced == sorted(spliced) and spliced[-1][0] == spliced[-1][1], "told as contexts are read, to the last"
    found = resolve_input(config)
    assert reconstruction_leaves_open(found, {"own": 2601, "cool": 9000}) is None
    assert "--tokens 6k would do" in (reconstruction_leaves_open(found, {"own": 2500, "cool": 9000}) or "")
    assert probes_leave_open(found, [800, 800]) is None
    assert "--set test_size=770 would do" in (probes_leave_open(found, [256, 256]) or "")
    assert fakes_leave_open(found, {"own": 10_000}, 64_000) is None
    assert "±0.20 points" in (fakes_leave_open(found, {"own": 5_000}, 64_000) or "")
    assert "; --set noise_tokens=64000 would do." in (fakes_leave_open(found, {"own": 10_000}, 32_000) or "")
    assert "; --tokens 10k would do." in (fakes_leave_open(found, {"own": 2_000}, 127_000) or "")
    assert fakes_leave_open(replace(found, own=None), {"own": 1}, 1) is None, "nothing is decided without an own corpus"


def test_controls_rebuild_less_and_stand_beside(
    studied: tuple[ReconstructionConfig, dict[str, Any]], run: Path
) -> None:
    config, summary = studied
    of = {(one["metric"], one["corpus"], one["control"]): one for one in summary["beside"]}
    assert list(of) == [
        (metric, corpus, control)
        for metric in ("fvu", "ce_recovered")
        for control in (PERMUTED, UNTRAINED)
        for corpus in ("own", "cool")
    ]
    assert all(standing(one) == BEHIND for (metric, *_), one in of.items() if metric == "fvu")
    for (metric, corpus, _), one in of.items():
        assert one["trained"]["value"] == pytest.approx(summary["corpora"][corpus][metric]["value"])
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    x = torch.cat([found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.rows]).double()
    table = pl.read_parquet(config.out / "results.parquet").filter(pl.col("other") == PANEL)
    sae = next(one for one in found.saes if (one.corpus, one.seed) == ("own", 1))
    for made in control_saes([sae], most=1, seed=config.seed):
        name, control = made.control, made.make(Moments.of(x))
        error = (x - control.reconstruct(x.float())).square().sum() / (x - x.mean(0)).square().sum()
        rows = table.filter((pl.col("metric") == f"fvu:{name}") & (pl.col("corpus") == "own"))
        assert set(rows["parameter"]) == {4.0}, "at its k alone"
        assert rows.filter(pl.col("seed") == 1)["value"].item() == pytest.approx(float(error), rel=1e-4)


def test_fewer_latents_rebuild_less(studied: tuple[ReconstructionConfig, dict[str, Any]]) -> None:
    for values in studied[1]["reduced_k"].values():
        assert list(values) == ["4", "2", "1"]
        assert values["4"]["fvu"]["value"] < values["2"]["fvu"]["value"] < values["1"]["fvu"]["value"]
    assert reconstruction_tables(studied[1])
    assert (studied[0].out / "figures" / "reduced_k.svg").exists()


@pytest.mark.parametrize("ks", [(2, 4), (0, 1)])
def test_divisors_are_checked(run: Path, tmp_path: Path, ks: tuple[int, ...]) -> None:
    with pytest.raises(FaithfulError, match="divisors of k"):
        study_reconstruction(ReconstructionConfig(saes=(run / "saes",), out=tmp_path, ks=ks))
