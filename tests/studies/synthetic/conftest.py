"""One small study on known truth."""

import pytest

from studies.common.results import Done
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.study import study_synthetic


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SyntheticConfig:
    """What it was told."""
    return SyntheticConfig(
        tmp_path_factory.mktemp("synthetic") / "out", variants=("topk",), settings=("topk.d_sae=40", "topk.k=2"),
        truth_seeds=(0, 1, 2), seeds=(0, 1), planted=(), steps=40, batch=128, d_in=16, tokens=3000,
    )  # fmt: skip


@pytest.fixture(scope="session")
def done(small: SyntheticConfig) -> Done:
    """What came of it; never change it."""
    return study_synthetic(small)
