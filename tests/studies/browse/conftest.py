"""A run whose seeds were studied, and pages of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studies.browse.config import BrowseConfig
from studies.browse.write import Done, browse
from studies.seeds import figures as seeds_figures
from studies.seeds.config import SeedsConfig
from studies.seeds.study import study_seeds


@pytest.fixture(scope="session")
def studied_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two corpora with three seeds each and the pairs of `study seeds`; never change it."""
    folder = tmp_path_factory.mktemp("browsed") / "runs" / "tried"
    shutil.copytree(run, folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw", "draw_stability"):
            patch.setattr(seeds_figures, name, lambda *_: None)
        out = folder / "studies" / "seeds"
        study_seeds(SeedsConfig((folder / "saes",), out, tokens=300, device="cpu", gaussian_seeds=0, examples=0))
    return folder


@pytest.fixture(scope="session")
def pages(studied_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Its pages; never change them."""
    out = tmp_path_factory.mktemp("pages") / "browse"
    return browse(BrowseConfig(studied_run, out, tokens=600, device="cpu"))


def read(folder: Path, name: str) -> Any:
    """What a script of data hands to the page."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="utf-8")
    start = f'loaded("{name}",'
    assert text.startswith(start) and text.endswith(");\n")
    return json.loads(text[len(start) : -3])
