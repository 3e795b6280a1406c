"""Each test in an empty folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test in an empty folder, with no current run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAITHFUL_RUN", raising=False)
    return tmp_path
