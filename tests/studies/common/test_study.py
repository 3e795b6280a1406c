"""The record of a study that stands nowhere: a module made for it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faithful.base.progress import Progress
from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost
from studies.common.results import Done
from studies.common.study import Study
from studies.common.tables import Table


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Study:
    work, tables = ModuleType("toys.heights.study"), ModuleType("toys.heights.tables")

    def study_heights(config: StudyConfig, report: Any) -> Done:
        for step, done, total in (("lengths own", 1, 2), ("text", 3, 4), ("Read this first.", 0, 0)):
            report(step, done, total)
        return Done(config.out, {"study": "heights"})

    vars(work)["study_heights"] = study_heights
    vars(tables)["heights_tables"] = lambda summary: [Table("Heights", ("a",), []), Table("Floors: all", ("a",), [])]
    for name, module in (
        ("toys.heights", ModuleType("toys.heights")),
        (work.__name__, work),
        (tables.__name__, tables),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "toys", ModuleType("toys"))
    config = type("HeightsConfig", (StudyConfig,), {"__module__": "toys.heights.config"})
    return Study(
        "heights", "How high?", "Metres.", config, lambda config, work: StudyCost(0, 0.0), details=("Floors: ",),
        units={"lengths": "lines"},
    )  # fmt: skip


def test_its_work_and_its_tables_are_found_beside_its_configuration(study: Study, tmp_path: Path) -> None:
    told: list[Progress] = []
    done = study.run(study.config(saes=("saes",), out=tmp_path), told.append)
    assert done.summary == {"study": "heights"} and (tmp_path / "settings.json").is_file()
    assert [(point.step, point.done, point.total, point.unit, point.note) for point in told] == [
        ("lengths own", 1, 2, "lines", ""), ("text", 3, 4, "contexts", ""),
        ("note", 0, 0, "tokens", "Read this first."),
    ]  # fmt: skip
    assert [table.title for table in study.tables(done.summary)] == ["Heights", "Floors: all"]
    assert [table.title for table in study.tables(done.summary, full=False)] == ["Heights"]


def test_a_record_that_says_nothing_more_has_nothing_to_say(study: Study) -> None:
    assert [say({}) for say in (study.notes, study.warnings, study.remarks, study.verdicts)] == [[]] * 4
