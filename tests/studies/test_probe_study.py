"""`faithful study probes` on a task in a CSV file: figures per seed, marked tasks, and what is finished is kept."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from faithful.errors import FaithfulError
from faithful.model import ModelSpec
from faithful.training import TrainConfig, train
from generation.sampling import Sampling
from studies.probe_tables import probes_tables
from studies.probes import ProbesConfig, study_probes
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]
WORDS = {"left": ("aa", "bb", "cc"), "right": ("xx", "yy", "zz")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> Path:
    """Two corpora of three seeds each, and a task; never change it."""
    spec, model = family_model("gpt2")
    folder = tmp_path_factory.mktemp("probes") / "runs" / "tried"
    sampling = Sampling(max_tokens=31)
    sizes = {"train": 3000, "test": 1500}
    corpora = (
        write_own(folder / "corpora" / "own", spec, model, sampling, sizes),
        write_own(folder / "corpora" / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    )
    wish = TrainConfig(
        corpora, folder / "saes", seeds=(0, 1, 2), layer=1, d_sae=(96,), k=(4,), lr=3e-3, tokens=2500, context=32,
        batch=256, device="cpu", eval_tokens=500,
    )  # fmt: skip
    train(wish)
    rng = np.random.default_rng(0)
    for name, wrong in (("sides", 0.2), ("easy", 0.0)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for number in range(240):
                side = ("left", "right")[number % 2]
                other = rng.random() < wrong
                label = ("left", "right")[(number + other) % 2]
                writer.writerow([" ".join(rng.choice(WORDS[side], 6)) + f" {number}", label])
    return folder


def configured(run: Path, out: Path, **values: Any) -> ProbesConfig:
    stated: dict[str, Any] = {
        "tasks": (f"{run / 'sides.csv'}:text:label",), "tokens": 500, "train_size": 64, "test_size": 64, "curve_points": 2,
        "ks": (1, 5), "device": "cpu",
    }  # fmt: skip
    return ProbesConfig(saes=(run / "saes",), out=out, **stated | values)


def test_the_study(run: Path, tmp_path: Path) -> None:
    config = configured(run, tmp_path)
    summary = study_probes(config).summary
    assert list(summary["corpora"]) == ["own", "cool"]
    assert summary["corpora"]["own"]["accuracy"]["seeds"] == 3
    (task,) = summary["tasks"].values()
    assert 0.65 < task["baseline"]["accuracy"] < 0.95, "four labels of five are in the words"
    table = pl.read_parquet(tmp_path / "results.parquet")
    assert set(table["seed"].drop_nulls()) == {0, 1, 2}
    shares = table.filter(pl.col("metric").str.contains("accuracy"))["value"].drop_nulls()
    assert len(shares) > 20 and shares.min() >= 0 and shares.max() <= 1
    assert probes_tables(summary)
    again = study_probes(config)
    assert again.reused > 0 and again.summary["corpora"] == summary["corpora"]


def test_a_task_near_its_ceiling_counts_for_nothing(run: Path, tmp_path: Path) -> None:
    summary = study_probes(configured(run, tmp_path, tasks=(f"{run / 'easy.csv'}:text:label",))).summary
    (task,) = summary["tasks"].values()
    assert task["baseline"]["accuracy"] > 0.95
    assert summary["corpora"]["own"]["accuracy"]["value"] is None


def test_a_task_that_is_not_there_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError):
        study_probes(configured(run, tmp_path, tasks=(f"{run / 'nothing.csv'}:text:label",)))
