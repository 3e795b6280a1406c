"""A study that several tests read."""

from pathlib import Path
from typing import Any

import pytest

from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.study import study_reconstruction


@pytest.fixture(scope="session")
def studied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReconstructionConfig, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "reconstruction"
    config = ReconstructionConfig(saes=(run / "saes",), out=out, tokens=1000, device="cpu", ks=(1, 2, 4))
    return config, study_reconstruction(config).summary
