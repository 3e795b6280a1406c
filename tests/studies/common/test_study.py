"""The record of a study that stands nowhere: a module made for it."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faithful.base.progress import Progress, remark
from studies.common.config import StudyConfig
from studies.common.forecast import StudyCost
from studies.common.results import Done
from studies.common.study import Study
from studies.common.tables import Table


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Study:
    work, tables = ModuleType("toys.heights.study"), ModuleType("toys.heights.tables")

    def study_heights(config: StudyConfig, report: Any) -> Done:
        report(remark("Read this first."))
        report(Progress("lengths own", 1, 2, "lines"))
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
    )  # fmt: skip


def test_its_work_and_its_tables_are_found_beside_its_configuration(study: Study, tmp_path: Path) -> None:
    told: list[Progress] = []
    done = study.run(study.config(saes=("saes",), out=tmp_path), told.append)
    assert done.summary == {"study": "heights"} and (tmp_path / "settings.json").is_file()
    assert told == [remark("Read this first."), Progress("lengths own", 1, 2, "lines")]
    assert [table.title for table in study.tables(done.summary)] == ["Heights", "Floors: all"]
    assert [table.title for table in study.tables(done.summary, full=False)] == ["Heights"]


def test_a_record_that_says_nothing_more_has_nothing_to_say(study: Study) -> None:
    assert [say({}) for say in (study.notes, study.warnings, study.remarks, study.verdicts)] == [[]] * 4


def test_how_many_workers_did_it_is_not_kept(study: Study, tmp_path: Path) -> None:
    study.run(study.config(saes=("saes",), out=tmp_path, context=7, workers=4, shard_model=True), lambda _: None)
    config, kept = study.configure(tmp_path, {"saes": ("saes",)})
    assert (config.workers, config.shard_model, kept) == (None, False, {"context": 7})


def test_of_what_all_studies_are_told_it_hears_what_it_can(study: Study) -> None:
    assert study.told(saes=("saes",), folders=("own",), device="cpu", seed=None) == {
        "saes": ("saes",),
        "device": "cpu",
        "seed": None,
    }
