"""`faithful study seeds`: known answers for a pair, the study of a small grid, and SAEs from elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, silent
from faithful.base.quantities import Part
from faithful.cli import app
from faithful.formats.exports import export_sparsify
from faithful.formats.files import load_sae, save_sae
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae, find_saes
from studies.common.controls import PERMUTED, UNTRAINED
from studies.seeds import floors as seeds_floors
from studies.seeds import pairs as seeds_pairs
from studies.seeds.chance import AT_CHANCE
from studies.seeds.config import STUDY, SeedsConfig
from studies.seeds.matching import (
    CURVE,
)
from studies.seeds.study import study_seeds
from studies.seeds.tables import seeds_tables
from studies.statistics.stable import read_stable
from studies.statistics.verdicts import summarise
from tests.documented import keys_of_contrasts, names_of_study, undocumented
from tests.studies.headlines import HEADLINES

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_the_summary_is_the_contract(studied: tuple[Path, dict[str, Any]]) -> None:
    out, summary = studied
    assert summary["own"] == "own" and list(summary["corpora"]) == ["own", "cool"]
    for figures in summary["corpora"].values():
        assert figures["shared_feature_ratio"].keys() >= {"value", "ci95", "seeds"}
        assert figures["pw_mcc"]["seeds"] == 3
        assert {"floor_random", "floor_covariance", "floor_init", "floor_gaussian"} <= figures.keys()
    headline = [one for one in summary["contrasts"] if one["headline"]]
    assert [(one["a"], one["b"], one["metric"]) for one in headline] == [("own", "cool", "shared_feature_ratio")]
    assert headline[0]["verdict"] == "cannot be decided: 3 seeds"
    assert json.loads((out / "summary.json").read_text())["corpora"].keys() == summary["corpora"].keys()
    titles = [table.title for table in seeds_tables(summary)]
    assert len(titles) == 6
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        "across_corpora.svg", "matched_cosines.svg", "reappearance.svg", "sfr_curves.svg",
    ]  # fmt: skip


def test_a_part_that_is_submitted_again_when_all_is_done_reads_nothing(
    studied: tuple[Path, dict[str, Any]], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples, for which SAEs code the panel though every pair is kept, are the whole study's."""
    out = Path(shutil.copytree(studied[0], tmp_path / "seeds"))
    monkeypatch.setattr(seeds_pairs, "code_text", lambda *_: pytest.fail("the panel was read"))
    told = SeedsConfig(saes=(run / "saes",), out=out, tokens=1500, device="cpu")
    done = STUDY.run_part(told, Part(0, 2), silent)
    assert 0 < done.done == done.reused and done.left == 0 and not (out / "codes").exists()


def test_floors_and_rows_in_another_order_stand_beside(studied: tuple[Path, dict[str, Any]]) -> None:
    corpora, of = studied[1]["corpora"], {(one["control"], one["corpus"]): one for one in studied[1]["beside"]}
    assert list(of) == [(control, corpus) for control in (PERMUTED, UNTRAINED) for corpus in ("own", "cool")]
    for (control, corpus), one in of.items():
        ratio, floor = corpora[corpus]["shared_feature_ratio"]["value"], corpora[corpus]["floor_init"]
        if control == PERMUTED:
            assert (one["of_control"]["value"], one["ahead"]) == (ratio, 0)
        else:
            assert (one["of_control"]["value"], one["ahead"]) == (floor, pytest.approx(ratio - floor))


def test_which_latents_reappear_is_left_for_other_studies(studied: tuple[Path, dict[str, Any]], run: Path) -> None:
    out, summary = studied
    stable = read_stable(out)
    for name in ("own", "cool"):
        shares = [float(stable[sae.sha256].mean()) for sae in find_saes([run / "saes" / name])]
        assert sum(shares) / 3 == pytest.approx(summary["stability"][name]["stable_share"]["value"])


def test_results_hold_every_pair_and_threshold(studied: tuple[Path, dict[str, Any]]) -> None:
    table = pl.read_parquet(studied[0] / "results.parquet")
    pairs = table.filter(pl.col("metric") == "shared_feature_ratio")
    within = pairs.filter(pl.col("other").is_null())
    assert sorted(within.select("corpus", "seed", "other_seed").rows()) == [
        (name, *seeds) for name in ("cool", "own") for seeds in ((0, 1), (0, 2), (1, 2))
    ]
    across = pairs.filter(pl.col("other").is_not_null())
    assert len(across) == 6 and (across["seed"] != across["other_seed"]).all()
    curve = table.filter((pl.col("metric") == "sfr_curve") & (pl.col("corpus") == "own") & pl.col("other").is_null())
    assert sorted(curve["parameter"].unique().to_list()) == list(CURVE)
    assert len(curve) == 3 * len(CURVE)


def test_every_figure_has_its_line_in_the_documentation(studied: tuple[Path, dict[str, Any]]) -> None:
    assert undocumented("Study seeds", names_of_study(studied[0])) == []
    assert undocumented("Statistics", keys_of_contrasts(studied[1])) == []


def test_how_pairs_were_assigned_is_kept(studied: tuple[Path, dict[str, Any]]) -> None:
    out, summary = studied
    found = summary["assignments"]
    assert sum(found["paths"].values()) == 3 * 12 and found["largest_gap"] == 0
    table = pl.read_parquet(out / "results.parquet")
    for metric in ("assignment_gap", "assignment_gap_encoders", "assignment_gap_alive"):
        assert table.filter(pl.col("metric") == metric)["value"].to_list() == [0] * 12


def test_again_takes_everything_as_it_is(
    studied: tuple[Path, dict[str, Any]], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is matched or trained, and with nothing to show no SAE is loaded."""
    out = Path(shutil.copytree(studied[0], tmp_path / "seeds"))
    for module, name in (
        (seeds_pairs, "match"),
        (seeds_floors, "match"),
        (seeds_floors, "gaussian_saes"),
        (TrainedSae, "load"),
    ):
        monkeypatch.setattr(module, name, lambda *_, what=name: pytest.fail(f"{what} again"))
    again = study_seeds(SeedsConfig(saes=(run / "saes",), out=out, tokens=1500, device="cpu", examples=0))
    assert again.reused == 12
    assert again.summary["corpora"] == studied[1]["corpora"]
    assert again.summary["assignments"] == studied[1]["assignments"]


def test_the_command_as_typed_takes_the_current_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parents[1])
    (run.parent / "current").write_text("tried\n")
    done = CliRunner().invoke(app, ["study", "seeds", "--tokens", "1k", "--json", "--set", "gaussian_seeds=0"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["corpora"]["own"]["shared_feature_ratio"]["seeds"] == 3
    assert (run / "studies" / "seeds" / "summary.json").exists()


def test_saes_from_elsewhere_of_several_widths(run: Path, tmp_path: Path) -> None:
    """A plain SAELens SAE and one of sparsify, of different widths, with neither seeds nor our record."""
    sae = load_sae(run / "saes" / "own" / "resid_pre.1-f96-k4" / "seed-0")
    assert isinstance(sae, TopKSAE)
    narrow = TopKSAE(sae.W_enc[:, :40], sae.b_enc[:40], sae.W_dec[:40], sae.b_dec, 4)
    save_sae(tmp_path / "plain", narrow, {"model_name": "gpt2", "hook_name": "blocks.1.hook_resid_pre"})
    export_sparsify(sae, tmp_path / "other" / "h.0")
    corpora = (run / "corpora" / "own",)
    found = find_saes([tmp_path / "plain", tmp_path / "other" / "h.0"])
    assert [one.seed for one in found] == [None, None]
    assert [one.hook for one in found] == [Hook(1, "resid_pre")] * 2
    wide = TopKSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, 4)
    save_sae(tmp_path / "wide", wide, {"model_name": "gpt2", "hook_name": "blocks.1.hook_resid_pre"})
    config = SeedsConfig((tmp_path / "plain", tmp_path / "wide"), tmp_path / "out", corpora, tokens=1000, device="cpu")
    summary = study_seeds(config).summary
    [(name, between)] = summary["between_shapes"].items()
    assert name == "wide resid_pre.1-f96-k4 × plain resid_pre.1-f40-k4"
    assert between["shared_feature_ratio"] == 1 and between["pairs"] == 1 and between["floor_random"] < 0.5
    assert summary["contrasts"] == [] and summary["not_compared"] == []
    assert seeds_tables(summary)[0].title == "Between shapes"


def elsewhere(run: Path, folder: Path, seed: int, noise: float = 0.0) -> Path:
    """An SAE of the run without our record, its decoder shaken."""
    sae = load_sae(run / "saes" / "own" / "resid_pre.1-f96-k4" / f"seed-{seed}")
    assert isinstance(sae, TopKSAE)
    shaken = sae.W_dec + noise * torch.randn(sae.W_dec.shape, generator=torch.Generator().manual_seed(seed))
    moved = TopKSAE(sae.W_enc, sae.b_enc, torch.nn.functional.normalize(shaken, dim=1), sae.b_dec, sae.k)
    save_sae(folder, moved, {"model_name": "gpt2", "hook_name": "blocks.1.hook_resid_pre", "dataset_path": "web"})
    return folder


def test_saes_of_one_corpus_without_seeds_are_pairs_of_their_own(run: Path, tmp_path: Path) -> None:
    """Three of them beside ours: every pair counts, and an external narrow one is compared instead of dropped."""
    saes = tuple(elsewhere(run, tmp_path / f"one-{seed}", seed, 0.01) for seed in (0, 1, 2))
    corpora = (run / "corpora" / "own", run / "corpora" / "cool")
    config = SeedsConfig((*saes, run / "saes" / "own"), tmp_path / "out", corpora, tokens=1000, device="cpu")
    summary = study_seeds(config).summary
    assert summary["corpora"]["web"]["shared_feature_ratio"]["seeds"] == 3
    mean = summary["across"]["own × web"]["shared_feature_ratio"]
    table = pl.read_parquet(tmp_path / "out" / "results.parquet")
    values = table.filter((pl.col("metric") == "shared_feature_ratio") & pl.col("other").is_not_null())["value"]
    assert len(values) == 9 and mean["ci95"] is None and mean["value"] == pytest.approx(values.mean())
    assert summary["floors_missing"] == {"web": ["floor_gaussian"]}
    missing = "Not made, for want of held-out text or of two SAEs whose training is known: floor_gaussian of web."
    assert missing in STUDY.notes(summary)


def test_a_floor_of_one_sae_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="gaussian_seeds is at least 2, or 0"):
        study_seeds(SeedsConfig(("nowhere",), tmp_path, gaussian_seeds=1))


def test_corpora_of_other_seeds_are_compared_by_all_their_pairs(run: Path, tmp_path: Path) -> None:
    shape = "resid_pre.1-f96-k4"
    saes = [run / "saes" / "own" / shape / f"seed-{seed}" for seed in (0, 1)]
    saes.append(run / "saes" / "cool" / shape / "seed-2")
    points: list[Progress] = []
    config = SeedsConfig(tuple(saes), tmp_path, tokens=1000, device="cpu", gaussian_seeds=0)
    summary = study_seeds(config, points.append).summary
    assert not summary["floors_missing"], "what was left out is not missing"
    assert {(point.step.partition(" ")[0], point.unit) for point in points} == {
        ("codes", "contexts"),
        ("pairs", "pairs"),
    }
    table = pl.read_parquet(tmp_path / "results.parquet").filter(pl.col("metric") == "shared_feature_ratio")
    assert len(table.filter(pl.col("other").is_not_null())) == 2
    assert summary["across"]["own × cool"]["shared_feature_ratio"]["ci95"] is None


def test_saes_that_began_alike_are_not_compared(run: Path, tmp_path: Path) -> None:
    shape = "resid_pre.1-f96-k4"
    saes = tuple(run / "saes" / name / shape / "seed-0" for name in ("own", "cool"))
    with pytest.raises(FaithfulError, match="began with the same weights"):
        study_seeds(SeedsConfig(saes, tmp_path, tokens=1000, device="cpu"))


def test_a_pair_is_matched_once_and_read_once_per_model_type_and_panel(
    studied: tuple[Path, dict[str, Any]], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(studied[0] / "pairs", tmp_path / "pairs")
    monkeypatch.setattr(seeds_pairs, "match", lambda *_: pytest.fail("matched again"))
    wish = SeedsConfig((run / "saes",), tmp_path, tokens=1500, device="cpu", gaussian_seeds=0, examples=0)
    other = study_seeds(replace(wish, tokens=1000))
    assert (other.reused, study_seeds(replace(wish, dtype="bfloat16")).reused, study_seeds(wish).reused) == (0, 0, 12)
    for name, figures in studied[1]["corpora"].items():
        new = other.summary["corpora"][name]
        assert new["pw_mcc"] == figures["pw_mcc"]
        assert new["activation_correlation"] != figures["activation_correlation"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere", "There is no folder"),
        ("empty", "holds no SAEs"),
        ("saes/own/resid_pre.1-f96-k4/seed-0", "no two SAEs"),
    ],
)
def test_refusals(run: Path, tmp_path: Path, place: str, said: str) -> None:
    (run / "empty").mkdir(exist_ok=True)
    with pytest.raises(FaithfulError, match=said):
        study_seeds(SeedsConfig(saes=(str(run / place),), out=tmp_path, device="cpu"))


# SAEs that share nothing


def ratios(value: float, seeds: int = 6) -> dict[Any, float | None]:
    return {(i, j): value * (1 + 0.1 * (i + j * j)) for i in range(seeds) for j in range(i + 1, seeds)}


def test_saes_that_share_no_more_than_chance_gives_decide_nothing() -> None:
    """Twice nothing is no 'no relevant difference'; where one side shares more, the comparison stands."""
    low = {"own": ratios(0.0001), "b": ratios(0.0002)}
    figures = {"shared_feature_ratio": low | {"c": ratios(0.3)}, "pw_mcc": low}
    plain = summarise(HEADLINES["seeds"], {"shared_feature_ratio": low}, "own")["contrasts"][0]
    assert plain["verdict"] in ("no relevant difference", "differs by less than the margin")
    of_b, of_c, other = summarise(HEADLINES["seeds"], figures, "own", nothing=("own", "b"), chance=AT_CHANCE)[
        "contrasts"
    ]
    assert of_b["verdict"] == f"cannot be decided: {AT_CHANCE}" and of_b["sentence"].startswith(of_b["verdict"])
    assert of_c["verdict"] == "differs" and other["verdict"] == "exploratory"
