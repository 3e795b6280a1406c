"""A corpus that tests compare with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import command, run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, family_folder: Callable[[str], Path]) -> Path:
    """A corpus of 1,500 tokens made at once by one worker; never change it: copy it first."""
    out = tmp_path_factory.mktemp("corpus") / "own"
    done = run(command(family_folder("gpt2"), out))
    assert done.returncode == 0, done.stderr
    return out
