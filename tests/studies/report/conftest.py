"""A run, and its report."""

from pathlib import Path

import pytest

from studies.report.config import ReportConfig
from studies.report.write import write_report
from tests.studies.report.runs_made import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    path = write_report(ReportConfig(run))
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")
