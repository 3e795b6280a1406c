"""Corpora that tests compare with, or change a copy of."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from tests.command import command, run
from tests.own import write_own


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, family_folder: Callable[[str], Path]) -> Path:
    """A corpus of 1,500 tokens made at once by one worker; never change it: copy it first."""
    out = tmp_path_factory.mktemp("corpus") / "own"
    done = run(command(family_folder("gpt2"), out))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def made_own(tmp_path_factory: pytest.TempPathFactory, family_model: Callable[[str], tuple[ModelSpec, Any]]) -> Path:
    """A corpus of 4,000 tokens, and 3,000 held out, made in this process; never change it."""
    spec, model = family_model("gpt2")
    sizes = {"train": 4000, "test": 3000}
    return write_own(tmp_path_factory.mktemp("made") / "own", spec, model, Sampling(max_tokens=31), sizes)


@pytest.fixture
def own(made_own: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made_own, tmp_path / "own"))
