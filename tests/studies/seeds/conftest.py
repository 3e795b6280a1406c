"""A study that several tests read; figures are drawn where a test asks for them alone."""

from pathlib import Path
from typing import Any

import pytest

from studies.seeds import figures as seeds_figures
from studies.seeds.config import SeedsConfig
from studies.seeds.study import study_seeds


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `studied` are enough."""
    for name in ("draw", "draw_stability"):
        monkeypatch.setattr(seeds_figures, name, lambda *_: None)


@pytest.fixture(scope="session")
def studied(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study") / "seeds"
    return out, study_seeds(SeedsConfig(saes=(run / "saes",), out=out, tokens=1500, device="cpu")).summary
