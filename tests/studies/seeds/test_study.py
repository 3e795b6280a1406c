"""`faithful study seeds`: known answers for a pair, the study of a small grid, and SAEs from elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.cli import app
from faithful.formats.exports import export_sparsify
from faithful.formats.files import load_sae, save_sae
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae, find_saes
from studies.catalog import find_study
from studies.common.codes import Codes, code_text
from studies.common.config import StudyConfig
from studies.common.controls import untrained_sae
from studies.common.gaussian import gaussian_saes, moments_of, recorded_config
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.report.answer import verdicts
from studies.seeds import floors as seeds_floors
from studies.seeds import pairs as seeds_pairs
from studies.seeds.chance import AT_CHANCE, at_chance, floor_notes, highest_floor
from studies.seeds.config import SeedsConfig
from studies.seeds.floors import FloorMaker
from studies.seeds.matching import (
    CURVE,
    Directions,
    assign_alive,
    covariance_rows,
    density_figures,
    match,
    panel_figures,
    random_rows,
)
from studies.seeds.study import study_seeds
from studies.seeds.tables import seeds_tables
from studies.statistics.verdicts import summarise
from tests.documented import keys_of_contrasts, names_of_study, undocumented
from tests.studies.headlines import HEADLINES

Model = Callable[[str], tuple[ModelSpec, Any]]


def rows(count: int, width: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def codes(values: np.ndarray) -> Codes:
    """Dense codes as sparse ones."""
    dense = torch.from_numpy(values).float()
    latents = torch.arange(dense.shape[1]).expand(len(dense), -1).int()
    return Codes(dense, latents, dense.shape[1])


def test_a_permuted_copy_shares_everything() -> None:
    decoder, encoder = rows(60, 16, 0), rows(60, 16, 1)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    found = match(Directions(decoder, encoder), Directions(decoder[order], encoder[order]))
    figures = found.figures()
    assert figures["shared_feature_ratio"] == figures["sfr_both"] == figures["sfr_encoder"] == 1
    assert figures["pw_mcc"] == pytest.approx(1)
    assert figures["sfr_curve"] == [1.0] * len(CURVE)
    assert (order[found.assignment.columns] == torch.arange(60)).all()


def test_figures_equal_their_definitions() -> None:
    """Against scipy's assignment on the whole matrix of cosines."""
    from scipy.optimize import linear_sum_assignment

    generator = torch.Generator().manual_seed(3)
    a = rows(50, 12, 4)
    noise = torch.linspace(0.2, 2, 50)[:, None] * rows(50, 12, 5)
    b = torch.nn.functional.normalize(a[torch.randperm(50, generator=generator)] + noise, dim=1)
    encoders = rows(50, 12, 6), rows(50, 12, 7)
    density = np.random.default_rng(0).random((2, 50)) * (np.random.default_rng(1).random((2, 50)) > 0.3)
    found = match(Directions(a, encoders[0]), Directions(b, encoders[1]))
    alive = assign_alive((a, b), (density[0], density[1]))
    figures = found.figures() | density_figures(found.partners, alive, (density[0], density[1]))
    cosines = (a.double() @ b.double().T).numpy()
    left, right = linear_sum_assignment(-cosines)
    matched = cosines[left, right]
    assert figures["shared_feature_ratio"] == pytest.approx((matched > 0.7).mean())
    assert 0 < figures["shared_feature_ratio"] < 1
    assert figures["pw_mcc"] == pytest.approx(matched.mean(), abs=1e-6)
    top = ((cosines.max(1) > 0.7).mean() + (cosines.max(0) > 0.7).mean()) / 2
    assert figures["top1_ratio"] == pytest.approx(top)
    assert figures["top1_ratio"] >= figures["shared_feature_ratio"]
    weights = (density[0][left] + density[1][right]) / 2
    assert figures["sfr_weighted"] == pytest.approx((weights * (matched > 0.7)).sum() / weights.sum())
    firing = cosines[np.ix_(density[0] > 0, density[1] > 0)]
    some, others = linear_sum_assignment(-firing)
    assert figures["sfr_alive"] == pytest.approx((firing[some, others] > 0.7).mean())
    of_encoders = (encoders[0] @ encoders[1].T).numpy()[left, right]
    assert figures["sfr_both"] == pytest.approx(((matched > 0.7) & (of_encoders > 0.7)).mean())


def test_mixed_widths_match_the_smaller_side() -> None:
    wide = rows(70, 16, 8)
    found = match(Directions(wide), Directions(wide[:30]))
    assert found.figures()["shared_feature_ratio"] == 1
    assert len(found.assignment.rows) == 30


def test_random_decoders_share_what_random_ones_share() -> None:
    generator = torch.Generator().manual_seed(9)
    found = match(Directions(random_rows(200, 64, generator)), Directions(random_rows(200, 64, generator))).figures()
    assert found["shared_feature_ratio"] == 0
    assert 0.2 < found["pw_mcc"] < 0.5


def test_rows_with_the_covariance_lie_where_it_is() -> None:
    covariance = torch.diag(torch.tensor([100.0, 1.0, 0.0]))
    drawn = covariance_rows(4000, covariance, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.norm(dim=1), torch.ones(4000))
    assert drawn[:, 2].abs().max() < 1e-6
    assert drawn[:, 0].square().mean() > 0.8


def test_correlation_and_rotated_bases_on_the_panel() -> None:
    """Latents 0–3 are shared; 4 and 5 of both span one plane in rotated bases; 6 of each is elsewhere."""
    rng = np.random.default_rng(0)
    basis = np.eye(10)
    turn = np.array([[np.cos(0.8), np.sin(0.8)], [-np.sin(0.8), np.cos(0.8)]])
    a = torch.from_numpy(np.vstack([basis[:4], basis[4:6], basis[6:7]])).float()
    b = torch.from_numpy(np.vstack([basis[:4], turn @ basis[4:6], basis[7:8]])).float()
    shared = rng.exponential(size=(500, 4))
    plane = rng.exponential(size=(500, 2))
    rest = 0.01 * rng.exponential(size=(500, 1))
    of_a = np.hstack([shared, plane, rest])
    of_b = np.hstack([shared + 0.1 * rng.random((500, 4)), np.abs(plane @ turn.T), rest])
    found = match(Directions(a), Directions(b))
    figures = panel_figures(found.partners, None, (codes(of_a), codes(of_b)), (a, b), seed=0)
    pairs = zip(found.assignment.rows, found.assignment.columns, strict=True)
    r = [np.corrcoef(of_a[:, i], of_b[:, j])[0, 1] for i, j in pairs]
    assert figures["activation_correlation"] == pytest.approx(np.mean(r))
    assert figures["unmatched_explained"] is not None and figures["unmatched_explained"] > 0.95
    assert figures["unmatched_random"] is not None and figures["unmatched_random"] < figures["unmatched_explained"]


@pytest.fixture(scope="module")
def studied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "seeds"
    return out, study_seeds(SeedsConfig(saes=(run / "saes",), out=out, tokens=1500, device="cpu")).summary


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
    assert len(titles) == 5
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        "across_corpora.svg", "matched_cosines.svg", "sfr_curves.svg",
    ]  # fmt: skip


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


def test_examples_show_tokens_with_their_activations(studied: tuple[Path, dict[str, Any]]) -> None:
    blocks = studied[1]["examples"]
    assert len(blocks) == 4
    for block in blocks:
        for row in block["rows"]:
            assert len(row["tokens"]) == len(row["values"]) and max(row["values"]) > 0
            assert row["corpus"] in ("own", "cool") and "mean matched cosine" in row["note"]
            assert row["partner_corpus"] in block["title"] and row["partner_seed"] == 1
            assert len(row["partner_tokens"]) == len(row["partner_values"])
    assert len(pl.read_parquet(studied[0] / "examples.parquet")) == sum(len(block["rows"]) for block in blocks)


def test_how_pairs_were_assigned_is_kept(studied: tuple[Path, dict[str, Any]]) -> None:
    out, summary = studied
    found = summary["assignments"]
    assert sum(found["paths"].values()) == 3 * 12 and found["largest_gap"] == 0
    table = pl.read_parquet(out / "results.parquet")
    for metric in ("assignment_gap", "assignment_gap_encoders", "assignment_gap_alive"):
        assert table.filter(pl.col("metric") == metric)["value"].to_list() == [0] * 12
    (rows,) = [table.rows for table in seeds_tables(summary) if table.title.startswith("How the optimal")]
    assert dict(rows) == {path: str(count) for path, count in found["paths"].items()}


def test_floors_are_what_they_say(studied: tuple[Path, dict[str, Any]], run: Path) -> None:
    """`floor_init` of the seeds that were trained, `floor_gaussian` of each corpus' own activations."""
    summary = studied[1]
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1500)
    moments = {name: moments_of(found.truncated, rows, panel.ordinary) for name, rows in panel.parts.items()}
    mean = sum(one.mean * one.tokens for one in moments.values()) / sum(one.tokens for one in moments.values())
    expected = figures_of([untrained_sae(sae, mean) for sae in found.saes if sae.corpus == "own"], found, panel)
    assert expected["pw_mcc"] > 0
    for name in ("own", "cool"):
        close(summary["floors"][name]["floor_init"], expected | {"pairs": 3, "assignment_gap": 0})
        saes = [sae for sae in found.saes if sae.corpus == name]
        config = recorded_config(saes[0].record, saes[0].d_in, saes[0].record["training"]["step"], (0, 1))
        assert config is not None
        trained = gaussian_saes(moments[name], config, 256, seed=0)
        gaussian = figures_of(trained, found, panel)
        close(summary["floors"][name]["floor_gaussian"], gaussian | {"pairs": 1, "assignment_gap": 0})
        for floor in ("floor_random", "floor_covariance"):
            assert {"top1_ratio", "pw_mcc"} <= summary["floors"][name][floor].keys()
            assert "sfr_encoder" not in summary["floors"][name][floor]
        for floor, figures in summary["floors"][name].items():
            assert summary["corpora"][name][floor] == figures["shared_feature_ratio"]
            assert summary["corpora"][name][f"{floor}_top1_ratio"] == figures["top1_ratio"]
    own, cool = (summary["floors"][name]["floor_gaussian"]["pw_mcc"] for name in ("own", "cool"))
    assert own != cool
    (rows,) = [table.rows for table in seeds_tables(summary) if table.title.startswith("Floors")]
    assert {("floor_gaussian", "sfr_both"), ("floor_random", "top1_ratio")} <= {row[:2] for row in rows}


def figures_of(saes: list[TopKSAE], found: StudyInput, panel: Panel) -> dict[str, Any]:
    """Means over all pairs of SAEs, from what the rest of this file checks."""
    coded = code_text(found.truncated, saes, panel.rows, panel.ordinary).codes
    figures = []
    for i, j in combinations(range(len(saes)), 2):
        one = match(*(Directions(saes[place].W_dec, saes[place].W_enc.T) for place in (i, j)))
        decoders = saes[i].W_dec, saes[j].W_dec
        alive = assign_alive(decoders, (coded[i].density, coded[j].density))
        figures.append(one.figures() | panel_figures(one.partners, alive, (coded[i], coded[j]), decoders, seed=0))
    return {metric: np.mean([one[metric] for one in figures], axis=0).tolist() for metric in figures[0]}


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["sfr_curve"] == pytest.approx(expected["sfr_curve"])
    assert found | {"sfr_curve": None} == pytest.approx(expected | {"sfr_curve": None})


def test_identical_decoders_share_everything_whatever_the_floor(run: Path, tmp_path: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    maker = FloorMaker(found, load_panel(found, 500), 0, 2, None, tmp_path, lambda *_: None)
    sae = found.saes[0].load()
    assert isinstance(sae, TopKSAE)
    of_rows, of_saes = maker._of_rows([sae.W_dec] * 3), maker._of_saes([sae] * 2)
    for metric in ("shared_feature_ratio", "top1_ratio"):
        assert of_rows[metric] == of_saes[metric] == 1
    for metric in ("pw_mcc", "sfr_encoder", "sfr_both", "sfr_alive", "sfr_weighted", "activation_correlation"):
        assert of_saes[metric] == pytest.approx(1)
    assert of_rows["sfr_curve"] == [1.0] * len(CURVE) and (of_rows["pairs"], of_saes["pairs"]) == (3, 1)


def test_again_takes_everything_as_it_is(
    studied: tuple[Path, dict[str, Any]], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is matched or trained, and with nothing to show no SAE is loaded."""
    for module, name in (
        (seeds_pairs, "match"),
        (seeds_floors, "match"),
        (seeds_floors, "gaussian_saes"),
        (TrainedSae, "load"),
    ):
        monkeypatch.setattr(module, name, lambda *_, what=name: pytest.fail(f"{what} again"))
    config = SeedsConfig(saes=(run / "saes",), out=studied[0], tokens=1500, device="cpu", examples=0)
    again = study_seeds(config)
    assert again.reused == 12
    assert again.summary["corpora"] == studied[1]["corpora"]
    assert again.summary["assignments"] == studied[1]["assignments"]


def test_gaussian_saes_of_a_corpus_are_kept_when_they_are_trained(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def counted(moments: Any, *rest: Any) -> Any:
        trained.append(moments)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return gaussian_saes(moments, *rest)

    monkeypatch.setattr(seeds_floors, "gaussian_saes", counted)
    config = SeedsConfig((run / "saes",), tmp_path, tokens=600, device="cpu", gaussian_steps=2, examples=0)
    with pytest.raises(KeyboardInterrupt):
        study_seeds(config)
    study_seeds(config)
    assert len(trained) == 3 and torch.equal(trained[1].mean, trained[2].mean)


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


def test_corpora_of_other_seeds_are_compared_by_all_their_pairs(run: Path, tmp_path: Path) -> None:
    shape = "resid_pre.1-f96-k4"
    saes = [run / "saes" / "own" / shape / f"seed-{seed}" for seed in (0, 1)]
    saes.append(run / "saes" / "cool" / shape / "seed-2")
    points: list[Progress] = []
    config = SeedsConfig(tuple(saes), tmp_path, tokens=1000, device="cpu", gaussian_seeds=0)
    summary = study_seeds(config, points.append).summary
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


def test_the_first_thing_said_is_that_chance_gives_as_much() -> None:
    ratio = {"value": 0.0, "ci95": [0.0, 0.0], "seeds": 6}
    corpora = {name: {"shared_feature_ratio": ratio, "floor_random": 0.0, "floor_init": 0.002} for name in ("own", "b")}
    (said,) = floor_notes({"corpora": corpora})
    assert said.startswith(
        "The shared feature ratio of own (0.0000, by chance 0.0020) and b (0.0000, by chance 0.0020) is not above what chance"
        " gives"
    )
    assert "nothing to compare" in said and "hardly trained" in said
    assert verdicts("seeds", {"corpora": corpora, "contrasts": []})[0].sentence == said
    corpora["b"] = corpora["b"] | {"shared_feature_ratio": {"value": 0.4, "ci95": [0.3, 0.5], "seeds": 6}}
    assert at_chance(corpora) == ["own"] and "a comparison says little" in floor_notes({"corpora": corpora})[0]
    two_seeds = {"own": {"shared_feature_ratio": {"value": 0.001, "ci95": None, "seeds": 2}, "floor_random": 0.0015}}
    assert at_chance(two_seeds) == ["own"] and at_chance({"own": {"shared_feature_ratio": ratio}}) == []


def test_floors_are_shown_on_request(studied: tuple[Path, dict[str, Any]]) -> None:
    study, summary = find_study("seeds"), studied[1]
    shown, full = ([table.title for table in study.tables(summary, full)] for full in (False, True))
    assert [title.partition(":")[0] for title in full if title not in shown] == [
        "Floors", "How the optimal assignments were found",
    ]  # fmt: skip
    (rows,) = [table.rows for table in study.tables(summary, False) if table.title.startswith("Within a corpus")]
    assert rows[-1] == (
        "shared_feature_ratio by chance (the highest floor)",
        *(f"{highest_floor(of):.4f}" for of in summary["corpora"].values()),
    )
