"""Figures are drawn where a test asks for them alone."""

from collections.abc import Callable
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from studies.seeds import figures as seeds_figures

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `studied` are enough."""
    monkeypatch.setattr(seeds_figures, "draw", lambda *_: None)
