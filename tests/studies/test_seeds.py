"""`faithful study seeds`: known answers for a pair, the study of a small grid, and SAEs from elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from faithful.cli import app
from faithful.errors import FaithfulError
from faithful.model import ModelSpec
from faithful.sae.files import export_sparsify, load_sae, save_sae
from faithful.sae.topk import TopKSAE
from faithful.training import TrainConfig, train
from generation.sampling import Sampling
from studies.codes import Codes
from studies.floors import gaussian_saes, moments_of
from studies.grid import find_saes
from studies.inputs import StudyConfig, resolve_input
from studies.matching import CURVE, Directions, covariance_rows, match, panel_figures, random_rows
from studies.panel import held_out, load_panel, noise_rows, shuffled_rows, unigram_rows
from studies.seeds import SeedsConfig, seeds_tables, study_seeds
from tests.own import write_own

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
    figures = match(Directions(a, encoders[0]), Directions(b, encoders[1]), (density[0], density[1])).figures()
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
    alive = cosines[np.ix_(density[0] > 0, density[1] > 0)]
    some, others = linear_sum_assignment(-alive)
    assert figures["sfr_alive"] == pytest.approx((alive[some, others] > 0.7).mean())
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
    figures = panel_figures(found, (codes(of_a), codes(of_b)), (a, b), seed=0)
    pairs = zip(found.assignment.rows, found.assignment.columns, strict=True)
    r = [np.corrcoef(of_a[:, i], of_b[:, j])[0, 1] for i, j in pairs]
    assert figures["activation_correlation"] == pytest.approx(np.mean(r))
    assert figures["unmatched_explained"] is not None and figures["unmatched_explained"] > 0.95
    assert figures["unmatched_random"] is not None and figures["unmatched_random"] < figures["unmatched_explained"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """A run with two corpora and three seeds each; never change it."""
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("seeds") / "runs" / "tried"
    sampling = Sampling(max_tokens=31)
    sizes = {"train": 4000, "test": 1500}
    corpora = (
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    )
    config = TrainConfig(
        corpora, folder / "saes", seeds=(0, 1, 2), layer=1, d_sae=(96,), k=(4,), lr=3e-3, tokens=3500, context=32,
        batch=256, device="cpu", eval_tokens=500,
    )  # fmt: skip
    train(config)
    return folder


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
    titles = [title for title, _, _ in seeds_tables(summary)]
    assert len(titles) == 4
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


def test_again_takes_every_pair_as_it_is(studied: tuple[Path, dict[str, Any]], run: Path) -> None:
    again = study_seeds(SeedsConfig(saes=(run / "saes",), out=studied[0], tokens=1500, device="cpu"))
    assert again.reused == 12
    assert again.summary["corpora"] == studied[1]["corpora"]


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
    assert [one.hook for one in found] == ["blocks.1.hook_resid_pre"] * 2
    wide = TopKSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, 4)
    save_sae(tmp_path / "wide", wide, {"model_name": "gpt2", "hook_name": "blocks.1.hook_resid_pre"})
    config = SeedsConfig((tmp_path / "plain", tmp_path / "wide"), tmp_path / "out", corpora, tokens=1000, device="cpu")
    summary = study_seeds(config).summary
    [(name, between)] = summary["between_shapes"].items()
    assert name == "wide resid_pre.1-f96-k4 × plain resid_pre.1-f40-k4"
    assert between["shared_feature_ratio"] == 1 and between["pairs"] == 1 and between["floor_random"] < 0.5
    assert summary["contrasts"] == [] and summary["not_compared"] == []
    assert [title for title, _, _ in seeds_tables(summary)] == ["Between shapes"]


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
    summary = study_seeds(SeedsConfig(tuple(saes), tmp_path, tokens=1000, device="cpu", gaussian_seeds=0)).summary
    table = pl.read_parquet(tmp_path / "results.parquet").filter(pl.col("metric") == "shared_feature_ratio")
    assert len(table.filter(pl.col("other").is_not_null())) == 2
    assert summary["across"]["own × cool"]["shared_feature_ratio"]["ci95"] is None


def test_saes_that_began_alike_are_not_compared(run: Path, tmp_path: Path) -> None:
    shape = "resid_pre.1-f96-k4"
    saes = tuple(run / "saes" / name / shape / "seed-0" for name in ("own", "cool"))
    with pytest.raises(FaithfulError, match="began with the same weights"):
        study_seeds(SeedsConfig(saes, tmp_path, tokens=1000, device="cpu"))


def test_a_pair_is_kept_for_one_model_type_and_panel(
    studied: tuple[Path, dict[str, Any]], run: Path, tmp_path: Path
) -> None:
    shutil.copytree(studied[0] / "pairs", tmp_path / "pairs")
    wish = SeedsConfig((run / "saes",), tmp_path, tokens=1500, device="cpu", gaussian_seeds=0)
    assert study_seeds(replace(wish, dtype="bfloat16")).reused == 0
    assert study_seeds(replace(wish, tokens=1000)).reused == 0
    assert study_seeds(wish).reused == 12


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


def test_the_panel_is_equal_parts_of_held_out_text(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    assert list(panel.parts) == ["cool", "own"]
    assert all(480 <= tokens <= 560 for tokens in panel.tokens.values())
    alone = held_out({"own": found.corpora["own"]}, found.spec, 32, "aligned", 400)["own"]
    together = panel.parts["own"]
    assert all((one == other).all() for one, other in zip(alone, together, strict=False))


def test_controls_keep_what_they_say(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    special = {found.spec.bos_id, *found.spec.eos_ids}
    noise = noise_rows(found.spec, 300, 32, seed=1)
    drawn = np.concatenate([row[1:] for row in noise])
    assert {int(row[0]) for row in noise} == {found.spec.bos_id}
    assert not special & set(drawn.tolist()) and drawn.max() < found.spec.mapped
    assert (noise_rows(found.spec, 300, 32, seed=1)[7] == noise[7]).all()
    shuffled = shuffled_rows(panel.rows, panel.ordinary, seed=1)
    changed = 0
    for before, after in zip(panel.rows, shuffled, strict=True):
        assert sorted(before) == sorted(after)
        assert (before[~panel.ordinary[before]] == after[~panel.ordinary[before]]).all()
        changed += (before != after).any()
    assert changed > len(shuffled) / 2
    unigram = unigram_rows(found.spec, panel.rows, seed=1)
    assert [len(row) for row in unigram] == [len(row) for row in panel.rows]
    known = set(np.concatenate(panel.rows).tolist())
    assert set(np.concatenate([row[1:] for row in unigram]).tolist()) <= known - special


def test_moments_and_gaussian_saes(run: Path) -> None:
    found = resolve_input(StudyConfig(saes=(run / "saes",), out=run, device="cpu"))
    panel = load_panel(found, 1000)
    moments = moments_of(found.truncated, panel.rows, panel.ordinary)
    h = torch.cat([found.truncated(torch.from_numpy(row)[None])[0][panel.ordinary[row]] for row in panel.rows])
    assert torch.allclose(moments.mean, h.double().mean(0), atol=1e-5)
    assert torch.allclose(moments.covariance, torch.cov(h.double().T, correction=0), atol=1e-5)
    identity = found.saes[0].record["identity"]
    trained = gaussian_saes(moments, identity, 20, (0, 1), seed=5)
    again = gaussian_saes(moments, identity, 20, (0,), seed=5)
    assert torch.equal(trained[0].W_dec, again[0].W_dec)
    assert not torch.equal(trained[0].W_dec, trained[1].W_dec)
