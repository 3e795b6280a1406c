"""Corpora of a tiny GPT-2, and a grid trained on one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from tests.faithful.training.grids import configured
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, family_model: Model) -> dict[str, Path]:
    """Two own corpora of a tiny GPT-2."""
    spec, model = family_model("gpt2")
    root = tmp_path_factory.mktemp("train") / "corpora"
    sampling = Sampling(max_tokens=31)
    sizes = {"train": 7000, "test": 1500}
    return {
        "own": write_own(root / "own", spec, model, sampling, sizes),
        "cool": write_own(root / "cool", spec, model, sampling.with_changes(temperature=0.7), sizes, seed=3),
    }


@pytest.fixture(scope="module")
def trained(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one shape; never change it."""
    out = tmp_path_factory.mktemp("saes")
    train(configured(corpora, out))
    return out
