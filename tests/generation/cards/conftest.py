"""A certified corpus with its card, and a card taken apart."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from generation.configs.generate import GenerateConfig
from generation.own.generate import generate

Folder = Callable[[str], Path]


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory, family_folder: Folder) -> Path:
    """A certified corpus of 1,200 tokens; never change it: copy it first."""
    out = tmp_path_factory.mktemp("card") / "own"
    stated = {"tokens": 1200, "held_out": 300, "shard_rows": 24, "batch": 8, "max_tokens": 31, "seed": 7}
    generate(GenerateConfig(model=str(family_folder("gpt2")), out=out, top_p=0.9, workers=1, device="cpu", **stated))  # type: ignore[arg-type]
    return out


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(corpus, tmp_path / "own"))


def parts(folder: Path) -> tuple[dict[str, Any], str]:
    """Metadata and body of a card."""
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body
