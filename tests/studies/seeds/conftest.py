"""Figures are drawn where a test asks for them alone."""

import pytest

from studies.seeds import figures as seeds_figures


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `studied` are enough."""
    monkeypatch.setattr(seeds_figures, "draw", lambda *_: None)
