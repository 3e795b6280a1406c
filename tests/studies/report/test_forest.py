"""The answer in one picture."""

from pathlib import Path
from typing import Any

from studies.report.answer import KINDS
from studies.report.forest import LOOKS, Line, draw_forest
from tests.studies.report.runs_made import entry


def line(verdict: str, **more: Any) -> Line:
    kind = KINDS[verdict]
    known: dict[str, Any] = {"difference": 0.04, "ci95": [0.02, 0.06], "margin": 0.01}
    return Line("seeds", "features shared", kind, entry(verdict, **known | more))  # type: ignore[arg-type]


def test_each_contrast_is_named_with_its_text_and_every_verdict_is_in_the_legend(tmp_path: Path) -> None:
    lines = [line(verdict) for verdict in KINDS]
    lines.append(line("differs", b="pile", text="foreign")._replace(control=True))
    assert draw_forest(lines, tmp_path / "f.svg")
    drawn = (tmp_path / "f.svg").read_text()
    assert "own − pile, foreign text (control)" in drawn and "features shared" in drawn
    assert all(LOOKS[kind][3] in drawn for kind in set(KINDS.values()))


def test_every_kind_of_verdict_looks_other_than_the_others_without_colour(tmp_path: Path) -> None:
    assert set(KINDS.values()) <= LOOKS.keys()
    shapes = [(marker, filled) for marker, _, filled, _ in LOOKS.values()]
    assert len(set(shapes)) == len(shapes)


def test_parts_are_drawn_as_marks_of_their_own(tmp_path: Path) -> None:
    plain = [line("differs", parts={})]
    parted = [line("differs", parts={"a": {"difference": 0.05}, "b": {"difference": None}})]
    for name, lines in (("plain", plain), ("parted", parted)):
        draw_forest(lines, tmp_path / f"{name}.svg")
    plain_uses, parted_uses = ((tmp_path / f"{name}.svg").read_text().count("<use") for name in ("plain", "parted"))
    assert parted_uses == plain_uses + 1


def test_without_a_size_there_is_no_picture(tmp_path: Path) -> None:
    assert not draw_forest([line("cannot be decided", difference=None)], tmp_path / "f.svg")
    assert not (tmp_path / "f.svg").exists()
