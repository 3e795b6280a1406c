"""A model that explains, and a study that several tests read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies.explanations.config import ExplanationsConfig
from studies.explanations.study import study_explanations
from tests.studies.explanations.oracle import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as one:
        yield one


@pytest.fixture(scope="session")
def explained(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExplanationsConfig, dict[str, Any], Server]:
    """The study of the run, by the oracle; what it was asked."""
    config = ExplanationsConfig(
        (run / "saes",), tmp_path_factory.mktemp("study") / "explanations", latents=6, shown=5, judged=6, tokens=3000,
        device="cpu",
    )  # fmt: skip
    with serving(Server()) as server:
        summary = dict(study_explanations(replace(config, endpoint=server.address)).summary)
    return replace(config, endpoint=server.address), summary, server
