"""`faithful study fakes`: the rules by hand, planted latents, the bound, and the study of a small grid."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from studies.common import codes
from studies.common.controls import permuted_model, shuffled_documents
from studies.common.inputs import resolve_input
from studies.common.panel import load_panel, noise_rows, shuffled_rows
from studies.fakes import figures as fakes_figures
from studies.fakes import rules as fake_rules
from studies.fakes.config import NOISE_PASSES, PANEL_PASSES, FakesConfig, noise_tokens
from studies.fakes.counts import CONTROLS, FakeCounts
from studies.fakes.rules import (
    CONTRAST,
    OF_NOISE,
    Firing,
    FiringCounter,
    bound,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
    interval,
    resampled_shares,
    thresholds_of,
)
from studies.fakes.study import study_fakes
from studies.fakes.tables import fakes_tables
from studies.report.svg import inline_svg
from tests.documented import names_of_study, undocumented
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]
CONTEXTS, LENGTH, WIDTH = 40, 30, 6


def count(
    dense: np.ndarray, thresholds: np.ndarray | None = None, batch: int = 7, text: str | None = "noise"
) -> Firing:
    """Codes [contexts, tokens, latents] through the counter, some contexts at a time."""
    contexts, length, width = dense.shape
    limits = torch.from_numpy(np.ones((1, width)) if thresholds is None else thresholds).float()
    counter = FiringCounter(limits, contexts, seed=0, text=text)
    for first in range(0, contexts, batch):
        values = torch.from_numpy(dense[first : first + batch].reshape(-1, width)).float()
        latents = torch.arange(width).expand(len(values), -1)
        counter.add(values, latents, np.repeat(np.arange(first, min(first + batch, contexts)), length))
    return counter.result()


def draw(densities: list[float], strength: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fires = rng.random((CONTEXTS, LENGTH, len(densities))) < np.array(densities)
    return fires * strength * (0.5 + rng.random(fires.shape))


def test_counts_equal_a_loop() -> None:
    dense = draw([0.02, 0.2, 0.5, 0.0, 1.0, 0.1], 0.9, 0)
    thresholds = np.array([[1.0] * WIDTH, [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]])
    found = count(dense, thresholds)
    assert (found.fired == (dense > 0).sum((0, 1))).all()
    assert (found.summed == (dense.sum(1) > 1).sum(0)).all()
    for place, limits in enumerate(thresholds.astype(np.float32)):
        assert (found.above[place] == (dense.astype(np.float32) > limits).sum((0, 1))).all()
    assert found.tokens == CONTEXTS * LENGTH
    assert found.l0 == pytest.approx((dense > 0).sum(-1).mean())
    assert (fake_notes(found) == ((dense.sum(1) > 1).mean(0) > 0.05)).all()
    assert (fake_code(found) == ((dense > 1).mean((0, 1)) > 0.1)).all()
    for p in (0.01, 0.05, 0.1):
        assert (fake_density(found, p) == ((dense > 0).mean((0, 1)) > p)).all()


def test_batches_do_not_matter() -> None:
    dense = draw([0.05, 0.3, 0.01, 0.9, 0.2, 0.6], 1.0, 1)
    one, other = count(dense, batch=40), count(dense, batch=3)
    assert (one.fired == other.fired).all() and one.resampled is not None and other.resampled is not None
    for name, drawn in vars(one.resampled).items():
        assert (drawn == vars(other.resampled)[name]).all()


def test_each_text_is_resampled_by_itself() -> None:
    """The same weights for noise and panel would make both rise and fall together, and the interval too narrow."""
    dense = draw([0.01] * 200, 1.0, 1)
    drawn = []
    for text in ("random tokens", "text", "text"):
        found = count(dense, text=text).resampled
        assert found is not None
        drawn.append(found.shares[OF_NOISE.index("fake_density_1")])
    assert drawn[0].std() > 0 and (drawn[1] == drawn[2]).all()
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.3


def test_a_draw_is_the_rule_on_contexts_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule on contexts repeated as often as the draw's weights say; the sums of `fake_notes` over the first 25."""
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 25)
    on_noise = draw([0.009, 0.011, 0.05, 0.1, 0.001, 0.0005] * 5, 1.2, 5)
    on_text = draw([0.0, 0.001, 0.001, 0.5, 0.0, 0.0] * 5, 1.2, 6)
    found = resampled_shares(count(on_noise, text="noise"), count(on_text, text="text"))
    weights = [
        np.random.default_rng([0, 4, zlib.crc32(text)]).poisson(1.0, (200, CONTEXTS)) for text in (b"noise", b"text")
    ]
    for place in range(0, 200, 20):
        noise, text = (
            np.repeat(dense, one[place], axis=0) for dense, one in zip((on_noise, on_text), weights, strict=True)
        )
        noted = np.repeat(on_noise[:25], weights[0][place][:25], axis=0)
        fires = (noise > 0).mean((0, 1))
        expected = {
            "fake_contrast": (fires > 0.01) & ((text > 0).mean((0, 1)) < 0.001),
            "fake_notes": (noted.sum(1) > 1).mean(0) > 0.05,
            "fake_code": (noise > 1).mean((0, 1)) > 0.1,
        } | {f"fake_density_{100 * p:g}": fires > p for p in (0.01, 0.05, 0.1)}
        assert {rule: drawn[place] for rule, drawn in found.items()} == pytest.approx(
            {rule: fake.mean() for rule, fake in expected.items()}
        )


def test_the_rule_of_the_notes_is_about_the_first_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latent 0 fires in the first contexts alone, latent 1 in the others."""
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 10)
    dense = np.zeros((CONTEXTS, LENGTH, 2))
    dense[:10, :, 0] = dense[10:, :, 1] = 1.0
    assert fake_notes(count(dense)).tolist() == [True, False]
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 1000)
    assert fake_notes(count(dense)).tolist() == [True, True]


@pytest.mark.parametrize(
    ("device", "context", "tokens"),
    [("cpu", 128, 127_000), ("cpu", 32, 64_000), ("cuda", 128, 1_000_000), ("cuda:1", 1024, 1_023_000)],
)
def test_no_fewer_than_1000_contexts_are_drawn_unless_told(device: str, context: int, tokens: int) -> None:
    assert noise_tokens(device, context) == tokens


def test_documents_that_share_a_context_are_shuffled_apart() -> None:
    ordinary = np.arange(1000) > 1
    documents = [np.arange(first, first + 60) for first in (100, 200, 300)]
    packed = np.concatenate([part for one in documents for part in ([1], one)])
    packed[0] = 0
    (found,) = shuffled_documents([packed], ordinary, seed=0)
    assert (found[~ordinary[packed]] == packed[~ordinary[packed]]).all()
    for place, document in enumerate(documents):
        part = found[1 + 61 * place : 61 * (place + 1)]
        assert sorted(part) == list(document) and (part != document).any()
    alone = [np.concatenate([[0], one, [1]]) for one in documents]
    for one, other in zip(shuffled_documents(alone, ordinary, 0), shuffled_rows(alone, ordinary, 0), strict=True):
        assert (one == other).all()


def test_a_latent_that_is_silent_on_text_counts_above_its_own_quantiles() -> None:
    """Latent 0 fires on the text with 1, 2 … 9, latent 1 never: above each of its quantiles is whatever it gives on noise."""
    values = torch.arange(1.0, 10.0)[:, None]
    found = thresholds_of(values, torch.zeros(9, 1, dtype=torch.int32), 2)
    assert found.tolist() == [[1.0, 1.0], [5.0, 0.0], [8.0, 0.0], [9.0, 0.0]]
    noise = count(np.full((CONTEXTS, LENGTH, 2), 0.5), found.numpy())
    assert [fake_code(noise, place).tolist() for place in range(4)] == [[False, False], *[[False, True]] * 3]


def test_planted_noise_latents_are_found_and_dense_ones_are_not() -> None:
    """0: fires on noise alone; 1: dense everywhere; 2: fires on text alone; 3: a little more on noise than on text."""
    noise = count(draw([0.2, 0.9, 0.0, 0.03], 1.0, 2))
    text = count(draw([0.0, 0.9, 0.3, 0.01], 1.0, 3))
    assert fake_contrast(noise, text).tolist() == [True, False, False, False]
    assert fake_density(noise, CONTRAST).tolist() == [True, True, False, True]
    low, high = interval(resampled_shares(noise, text)["fake_contrast"])
    assert low == high == 0.25


def test_interval_widens_where_contexts_decide() -> None:
    """A latent that fires in every tenth context only is fake in some resamples and not in others."""
    dense = np.zeros((CONTEXTS, LENGTH, 2))
    dense[:1, :12, 0] = 1.0
    dense[:, ::10, 1] = 1.0
    low, high = interval(resampled_shares(count(dense), count(np.zeros_like(dense)))["fake_contrast"])
    assert low == 0.5 and high == 1.0


def test_no_more_than_the_bound_are_dense() -> None:
    noise = count(draw([0.011] * 50 + [0.0] * 50, 1.0, 4))
    for p in (0.001, 0.01, 0.05):
        assert fake_density(noise, p).sum() <= bound(noise, p) <= 100


def test_permuted_weights_keep_their_entries(family_model: Model) -> None:
    _, model = family_model("gpt2")
    other = permuted_model(model, seed=0)
    for (name, before), (_, after) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        assert torch.equal(before, after) == (before.dim() == 1 or before.unique().numel() == 1), name
    assert other.get_input_embeddings().weight is other.get_output_embeddings().weight


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("fakes") / "runs" / "tried"
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
    first = next(iter(tables))
    assert "64 contexts of random tokens, 1,984 tokens; fake_notes: the first 64)" in first and "1,000" not in first
    assert summary["sizes"]["fake_notes_contexts"] == 64
    (over_tau,) = [rows for title, rows in tables.items() if title.startswith("Over τ and p")]
    assert len(over_tau) == 4 * 3
    drawn = (tmp_path / "figures" / "sweeps.svg").read_text()
    assert "above τ = 1" in drawn and "99% quantile" in drawn
    shown = bool(summary["examples"])
    passes = PANEL_PASSES if shown else PANEL_PASSES - 1
    assert sum(read) == passes * len(panel.rows) + (NOISE_PASSES + shown) * 64
    monkeypatch.setattr(fakes_figures, "draw", lambda *_: None)
    again = study_fakes(config)
    assert again.reused == 6 and again.summary["corpora"] == summary["corpora"]
    assert undocumented("Study fakes", names_of_study(tmp_path)) == []


def test_the_scatter_does_not_grow_with_the_number_of_latents(run: Path, tmp_path: Path) -> None:
    """A dot of its own for every latent would make 13 MB of five SAEs at the paper's width."""
    rng = np.random.default_rng(0)
    points = {"own": {"0.01": {"value": 0.1}, "0.1": {"value": 0.0}}}
    sweeps: dict[str, Any] = {"sweep_contrast": points, "sweep_density": points, "sweep_tau": {"own": {}}}
    cells: Any = {"own": {"densities": (10 ** -(6 * rng.random((20_000, 2)))).tolist()}}
    summary: Any = {"corpora": {"own": {}}, "sweeps": sweeps}
    fakes_figures.draw(summary, cells, tmp_path)
    assert (tmp_path / "contrast.svg").stat().st_size < 400_000
    inline = inline_svg(tmp_path / "contrast.svg", "f1-", "scatter")
    assert "data:image/png;base64," in inline and inline.count("<use") < 200


def test_too_little_noise_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="do not fill a context"):
        study_fakes(FakesConfig(saes=(run / "saes",), out=tmp_path, tokens=1000, noise_tokens=5, device="cpu"))
