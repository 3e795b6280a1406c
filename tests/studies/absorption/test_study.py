"""The whole study on the embedded model: letters that it is too small for, labels of a file, bad input, and going on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.progress import silent
from studies.absorption.config import STUDY, AbsorptionConfig
from studies.absorption.measure import Probed, probe_texts
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
    assert summary["contrasts"] and not any(one["headline"] for one in summary["contrasts"])
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


def test_letters_with_too_few_words_are_no_answer_and_no_end(saes: Path, labels: Path, tmp_path: Path) -> None:
    """Few enough words that no letter, or one, has two for each fold."""
    config = AbsorptionConfig((saes,), tmp_path, tokens=12, folds=5, device="cpu")
    summary: Any = STUDY.run(config, silent).summary
    letters = summary["tasks"]["letters"]
    assert letters["probes"] == {} and letters["few"] and letters["strong"] == []
    assert "The letters cannot be measured: fewer than two have texts enough, two for each fold." in STUDY.cautions(
        summary
    )
    assert summary["contrasts"][0]["verdict"] == "cannot be decided: fewer than two parents have texts enough"
    assert STUDY.tables(summary) == []


def test_saes_that_are_added_are_measured_on_the_parents_of_the_first(
    saes: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's probes may end on the other side of the F1 that is asked for."""
    told: dict[str, Any] = {"labels": (labels,), "without_letters": True, "tokens": 200, "folds": 2, "device": "cpu"}
    first: Any = study_absorption(AbsorptionConfig((saes / "own",), tmp_path, **told)).summary
    assert first["tasks"]["capitals"]["strong"]

    def weaker(*given: Any) -> Probed:
        found = probe_texts(*given)
        return replace(found, scores=found.scores * 0)

    monkeypatch.setattr("studies.absorption.study.probe_texts", weaker)
    done = study_absorption(AbsorptionConfig((saes,), tmp_path, **told))
    both: Any = done.summary
    assert done.reused == 3 and both["tasks"] == first["tasks"]
    assert both["corpora"]["web"]["main_f1"]["seeds"] == 3 and both["corpora"]["web"]["main_f1"]["value"] is not None
