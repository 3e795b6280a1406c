"""Parts of the page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studies.common.study import Study
from studies.common.tables import Table
from studies.report import parts
from studies.report.answer import UNCOUNTED
from studies.report.found import RunFound, StudyFound, read_run
from studies.report.parts import CHECKS, notes, study_parts
from tests.studies.report.runs_made import (
    SHAPE,
    Page,
    entry,
    write_run,
)


def test_what_a_reader_needs_is_there(html: str) -> None:
    text = Page(html).text
    for wanted in (
        *CHECKS, "exploratory contrast", "SAEs of resid_pre.3-f16-k2", "0.125", "own 2,724 · prose 2,689", "1,234",
        "3 samples of own", "faithful generate --model tiny", "faithful corpus add prose --for tiny", "a1" * 32,
        "consistent with the declared sampling", "faithful study seeds --run demo", "1.5 (1 to 2)", "height",
        "learning rate0.001", "init seeds0, 1", "latents8", "held-out tokens of the evaluation345", "degrees of freedom",
        "A floor is the mean over 1 or 3 pairs of decoders", "mean cosine of matched features (pw_mcc)",
        "docs/metrics.md defines each", "between shapes are means over 36 pairs of SAEs",
        f"Not compared with each other, since each has pairs of its own: {SHAPE} and f16.",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "faithful corpus export" not in text
    assert "Warning: own and prose fill different positions" in text
    top = next(attributes for tag, attributes in Page(html).elements if tag == "b" and attributes.get("class") == "top")
    assert top["title"] == "2"


def test_a_study_in_a_folder_of_another_name_is_shown_as_what_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo")
    first, _ = study_parts(read_run(run))
    (run / "studies" / "seeds").rename(run / "studies" / "more")
    more, _ = study_parts(read_run(run))
    assert (more.name, more.question) == ("more", f"{first.question} (more)")
    assert (more.tables, more.meaning) == (first.tables, first.meaning)
    assert [one.aside for one in first.verdicts] == ["", ""]
    assert more.verdicts == [replace(one, aside=UNCOUNTED) for one in first.verdicts]
    assert [one.title for one in more.pictures] == [one.title for one in first.pictures]


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ("seeds", "No headline contrast: no SAEs of the model's own text were compared with SAEs of other text."),
        ("synthetic", "No headline contrast: there was nothing to compare."),
        ("corpora", ""),
        ("variants", ""),
        ("extra", ""),
    ],
)
def test_why_there_is_no_verdict_is_said_of_studies_that_have_some(
    study: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "tables", lambda *_: [])
    for name in ("notes", "verdicts"):
        monkeypatch.setattr(parts, name, lambda *_: [])
    found = StudyFound(study, Path(study), {"study": study, "corpora": {}, "contrasts": []})
    (part,) = study_parts(RunFound(Path("demo"), [], [], {study: found}))
    assert (part.undecided, part.verdicts) == (said, [])


def test_every_fold_has_names_in_words(run: Path) -> None:
    part = next(one for one in study_parts(read_run(run)) if one.name == "seeds")
    cells = [cell for fold in part.folds for table in fold.tables for row in table.rows for cell in row]
    assert "pw_mcc" not in cells and "mean cosine of matched features (pw_mcc)" in cells


def test_tables_of_details_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [Table("Accuracy on each task, x", ("p",), [("1",)]), Table("Tasks", ("p",), [("2",)])]
    monkeypatch.setattr(Study, "tables", lambda *_: shown)
    monkeypatch.setattr(parts, "reference_tables", lambda *_: [])
    found = StudyFound("probes", Path("probes"), {"study": "probes", "corpora": {}, "contrasts": []})
    (part,) = study_parts(RunFound(Path("demo"), [], [], {"probes": found}))
    assert [one.title for one in part.tables] == ["Tasks"]
    assert [one.title for one in part.folds] == ["Accuracy on each task, x"]


def test_a_recovery_of_more_than_all_is_explained_where_there_is_one() -> None:
    def matrices(value: float) -> dict[str, Any]:
        return {"matrices": {"ce_recovered": {"own": {"own": {"value": 0.9}, "prose": {"value": value}}}}}

    (said,) = notes("reconstruction", matrices(1.003))
    assert "ce_recovered is above 1" in said and notes("reconstruction", matrices(1.0)) == []


def test_figures_without_an_interval_say_what_they_are_of() -> None:
    assert "of one corpus each" in notes("corpora", {})[0]
    assert "accuracy_h, macro_f1_h, words and majority are single values" in notes("probes", {})[0]
    assert (
        "Matched text is held-out text of the own corpus"
        in notes("fakes", {"contrasts": [entry("x", text="matched")]})[0]
    )
    assert "holds no foreign text" in notes("fakes", {"contrasts": [entry("x", text="matched")], "texts": {}})[1]
    assert notes("fakes", {}) == notes("seeds", {"floors": {}, "between_shapes": {}, "not_compared": []}) == []
