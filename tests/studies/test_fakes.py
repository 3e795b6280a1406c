"""`faithful study fakes`: the rules by hand, planted latents, the bound, and the study of a small grid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from faithful.errors import FaithfulError
from faithful.model import ModelSpec
from faithful.training import TrainConfig, train
from generation.sampling import Sampling
from studies.fake_rules import (
    CONTRAST,
    Firing,
    FiringCounter,
    bound,
    contrast_interval,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
)
from studies.fakes import CONTROLS, FakesConfig, fakes_tables, study_fakes
from studies.noise_models import permuted_model
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]
CONTEXTS, LENGTH, WIDTH = 40, 30, 6


def count(dense: np.ndarray, thresholds: np.ndarray | None = None, batch: int = 7) -> Firing:
    """Codes [contexts, tokens, latents] through the counter, some contexts at a time."""
    contexts, length, width = dense.shape
    limits = torch.from_numpy(np.ones((1, width)) if thresholds is None else thresholds).float()
    counter = FiringCounter(limits, contexts, seed=0)
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
    assert (one.fired == other.fired).all() and (one.resampled[0] == other.resampled[0]).all()


def test_planted_noise_latents_are_found_and_dense_ones_are_not() -> None:
    """0: fires on noise alone; 1: dense everywhere; 2: fires on text alone; 3: a little more on noise than on text."""
    noise = count(draw([0.2, 0.9, 0.0, 0.03], 1.0, 2))
    text = count(draw([0.0, 0.9, 0.3, 0.01], 1.0, 3))
    assert fake_contrast(noise, text).tolist() == [True, False, False, False]
    assert fake_density(noise, CONTRAST).tolist() == [True, True, False, True]
    low, high = contrast_interval(noise, text)
    assert low == high == 0.25


def test_interval_widens_where_contexts_decide() -> None:
    """A latent that fires in every tenth context only is fake in some resamples and not in others."""
    dense = np.zeros((CONTEXTS, LENGTH, 2))
    dense[:1, :12, 0] = 1.0
    dense[:, ::10, 1] = 1.0
    low, high = contrast_interval(count(dense), count(np.zeros_like(dense)))
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


def test_the_study(run: Path, tmp_path: Path) -> None:
    config = FakesConfig(saes=(run / "saes",), out=tmp_path, tokens=1000, noise_tokens=2000, device="cpu")
    summary = study_fakes(config).summary
    for figures in summary["corpora"].values():
        assert figures["fake_contrast"]["seeds"] == 3
        assert all(f"fake_contrast_{control}" in figures for control in CONTROLS)
        assert figures["fake_density_1"]["value"] >= figures["fake_density_10"]["value"]
        assert 0 <= figures["fake_density_1_of_bound"]["value"] <= 1
    headline = [one for one in summary["contrasts"] if one["headline"]]
    assert [(one["a"], one["b"], one["metric"]) for one in headline] == [("own", "cool", "fake_contrast")]
    assert headline[0]["verdict"] == "cannot be decided: 3 seeds"
    assert summary["sizes"]["noise_tokens"] == 64 * 31
    table = pl.read_parquet(tmp_path / "results.parquet")
    assert set(table["seed"]) == {0, 1, 2}
    sweep = table.filter((pl.col("metric") == "fake_density") & (pl.col("corpus") == "own") & (pl.col("seed") == 0))
    assert sweep.sort("parameter")["value"].is_sorted(descending=True) and len(sweep) == 7
    assert fakes_tables(summary)
    again = study_fakes(config)
    assert again.reused == 6 and again.summary["corpora"] == summary["corpora"]


def test_too_little_noise_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="do not fill a context"):
        study_fakes(FakesConfig(saes=(run / "saes",), out=tmp_path, tokens=1000, noise_tokens=5, device="cpu"))
