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
from faithful.formats.files import load_sae, save_sae
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from studies.common.codes import code_text
from studies.common.config import StudyConfig
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel
from studies.fakes.study import fakes_leave_open
from studies.probes.study import probes_leave_open
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.measure import PANEL
from studies.reconstruction.study import reconstruction_leaves_open, study_reconstruction
from studies.reconstruction.tables import reconstruction_tables
from studies.report.parts import notes
from tests.documented import names_of_study, undocumented
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora, three seeds; never change it."""
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("reconstruction") / "runs" / "tried"
    sampling = Sampling(max_tokens=31)
    sizes = {"train": 3000, "test": 1500}
    corpora = (
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    )
    train(
        TrainConfig(
            corpora,
            folder / "saes",
            seeds=(0, 1, 2),
            layer=1,
            d_sae=(96,),
            k=(4,),
            lr=3e-3,
            tokens=2500,
            context=32,
            batch=256,
            device="cpu",
            eval_tokens=500,
        )
    )
    return folder


@pytest.fixture(scope="module")
def studied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReconstructionConfig, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "reconstruction"
    config = ReconstructionConfig(saes=(run / "saes",), out=out, tokens=1000, device="cpu", ks=(1, 2, 4))
    return config, study_reconstruction(config).summary


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


def test_the_panel_pools_sums_not_means(studied: tuple[ReconstructionConfig, dict[str, Any]]) -> None:
    table = pl.read_parquet(studied[0].out / "results.parquet").filter(
        (pl.col("corpus") == "own") & (pl.col("seed") == 1) & (pl.col("parameter") == 4)
    )
    of = {(place, metric): value for place, metric, value in table.select("other", "metric", "value").rows()}
    for metric, weight in (("mse", "tokens"), ("ce_sae", "scored_tokens"), ("kl", "scored_tokens")):
        sums = sum(of[place, metric] * of[place, weight] for place in ("own", "cool"))
        assert of[PANEL, metric] == pytest.approx(sums / sum(of[place, weight] for place in ("own", "cool")))
    assert of[PANEL, "tokens"] == of["own", "tokens"] + of["cool", "tokens"]


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


def test_fewer_latents_rebuild_less(studied: tuple[ReconstructionConfig, dict[str, Any]]) -> None:
    for values in studied[1]["reduced_k"].values():
        assert list(values) == ["4", "2", "1"]
        assert values["4"]["fvu"]["value"] < values["2"]["fvu"]["value"] < values["1"]["fvu"]["value"]
    assert reconstruction_tables(studied[1])
    assert (studied[0].out / "figures" / "reduced_k.svg").exists()


def test_again_takes_what_is_measured(studied: tuple[ReconstructionConfig, dict[str, Any]]) -> None:
    again = study_reconstruction(studied[0])
    assert again.reused == 6 and again.summary["matrices"] == studied[1]["matrices"]


def test_identity_and_mean(run: Path, tmp_path: Path) -> None:
    """An SAE with a latent for each direction rebuilds everything; one without latents to speak of gives its bias."""
    recorded = load_sae(run / "saes" / "own" / "resid_pre.1-f96-k4" / "seed-0")
    d_in = recorded.d_in
    eye = torch.eye(d_in)
    both = TopKSAE(torch.cat([eye, -eye], 1), torch.zeros(2 * d_in), torch.cat([eye, -eye]), torch.zeros(d_in), d_in)
    metadata = {"model_name": "tiny-gpt2", "hook_name": "blocks.1.hook_resid_pre"}
    save_sae(tmp_path / "identity", both, metadata)
    corpora = (run / "corpora" / "own",)
    config = ReconstructionConfig(
        (tmp_path / "identity",), tmp_path / "out", corpora, tokens=500, device="cpu", ks=(1,)
    )
    figures = study_reconstruction(config).summary["corpora"]["identity"]
    assert figures["fvu"]["value"] == pytest.approx(0, abs=1e-9)
    assert figures["ce_recovered"]["value"] == pytest.approx(1, abs=1e-4)
    assert figures["kl"]["value"] == pytest.approx(0, abs=1e-5)
    found = resolve_input(StudyConfig(saes=(tmp_path / "identity",), out=tmp_path, corpora=corpora, device="cpu"))
    panel = load_panel(found, 500)
    h = torch.cat([found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.rows])
    silent = TopKSAE(torch.zeros(d_in, 8), torch.zeros(8), torch.eye(8, d_in), h.mean(0), 2)
    save_sae(tmp_path / "mean", silent, metadata)
    config = ReconstructionConfig((tmp_path / "mean",), tmp_path / "out2", corpora, tokens=500, device="cpu", ks=(1,))
    assert study_reconstruction(config).summary["corpora"]["mean"]["fvu"]["value"] == pytest.approx(1, abs=1e-5)
    assert not code_text(found.truncated, [silent], panel.rows, panel.ordinary).codes[0].values.any()


@pytest.mark.parametrize("ks", [(2, 4), (0, 1)])
def test_divisors_are_checked(run: Path, tmp_path: Path, ks: tuple[int, ...]) -> None:
    with pytest.raises(FaithfulError, match="divisors of k"):
        study_reconstruction(ReconstructionConfig(saes=(run / "saes",), out=tmp_path, ks=ks))
