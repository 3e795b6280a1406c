"""The whole study on the embedded model: letters that it is too small for, labels of a file, bad input, and going on."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import silent
from studies.absorption.config import STUDY, AbsorptionConfig
from studies.absorption.study import study_absorption
from studies.common.controls import PERMUTED, UNTRAINED
from tests.documented import names_of_study, undocumented


def test_letters_and_labels(saes: Path, labels: Path, tmp_path: Path) -> None:
    config = AbsorptionConfig((saes,), tmp_path, labels=(labels,), tokens=300, folds=3, device="cpu")
    done = STUDY.run(config, silent)
    summary: Any = done.summary
    assert list(summary["tasks"]) == ["letters", "capitals"] and set(summary["tasks"]["capitals"]["strong"]) == {
        "capital",
        "small",
    }
    said = STUDY.cautions(summary)
    assert any(one.startswith("The model is too small for the letters") and "(best: " in one for one in said)
    assert set(summary["corpora"]) == {"own", "web"} and summary["corpora"]["own"]["full_absorption"]["seeds"] == 3
    assert summary["of_tasks"]["letters"]["own"]["full_absorption"]["value"] is None
    assert {one["control"] for one in summary["beside"]} == {PERMUTED, UNTRAINED}
    children = summary["children"]["capitals"]
    assert children and all(0 <= of["own"]["value"] <= 1 for of in children.values() if of["own"]["value"] is not None)
    titles = [table.title for table in STUDY.tables(summary, full=True)]
    assert "Each parent of capitals" in titles and not any(
        table.title.startswith("Each parent") for table in STUDY.tables(summary, full=False)
    )
    assert any(one.startswith("letters: F1 of probes") for one in titles) and any(
        "capitals: 2 of 2" in one for one in titles
    )
    assert (tmp_path / "figures" / "parents.svg").exists()
    assert undocumented("Study absorption", names_of_study(tmp_path)) == []
    again = study_absorption(config)
    assert again.reused == 6 and again.summary == summary
    assert study_absorption(AbsorptionConfig((saes,), tmp_path, tokens=200, folds=3, device="cpu")).reused == 0


def test_where_nothing_is_strong_the_answer_is_the_probes_scores(saes: Path, tmp_path: Path) -> None:
    summary: Any = study_absorption(AbsorptionConfig((saes,), tmp_path, tokens=200, folds=3, device="cpu")).summary
    assert not summary["tasks"]["letters"]["strong"] and summary["tasks"]["letters"]["probes"]
    assert summary["contrasts"][0]["verdict"].startswith("cannot be decided: the probes find no parent")
    assert summary["beside"] == [] and not (tmp_path / "figures").exists()
    assert [table.title for table in STUDY.tables(summary)] == ["letters: F1 of probes on the activations"]


def test_two_tasks_of_one_name_are_refused(saes: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="Two tasks are named capitals"):
        study_absorption(AbsorptionConfig((saes,), tmp_path, labels=(labels, labels), tokens=50, folds=2, device="cpu"))
