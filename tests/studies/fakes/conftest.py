"""A run that several tests read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from faithful.training.config import TrainConfig
from faithful.training.train import train
from generation.sampling.distribution import Sampling
from tests.own import write_own

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(scope="session")
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
