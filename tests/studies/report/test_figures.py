"""Figures of the report."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studies.report import figures
from studies.report.figures import draw_training, position_counts
from studies.report.found import read_run
from studies.report.parts import position_notes


def test_positions_are_counted_as_aligned_contexts_fill_them(run: Path) -> None:
    corpora = {corpus.name: corpus.manifest for corpus in read_run(run).corpora}
    assert position_counts(corpora["own"], 6).tolist() == [3, 3, 2, 2, 1]
    assert position_counts(corpora["prose"], 6).tolist() == [3] * 5
    assert position_notes(read_run(run))[0] == "Contexts for training are aligned, with 9 tokens."


def test_held_out_text_is_dashed_in_every_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [{"step": step, "fvu": 0.5, "l0": 4.0, "dead_in_training": 3} for step in (1, 2, 3)]
    for point in points[1:]:
        point |= {"held_out_fvu": 0.6, "held_out_l0": 3.5, "held_out_never_fired": 7}
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "training_log", lambda sae: points)
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure))
    sae: Any = SimpleNamespace(corpus="own", shape_folder="resid_pre.1-f8-k2")
    assert draw_training([sae], tmp_path / "a.svg")
    dashed = [[line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"] for axes in drawn[0].axes]
    assert [[list(line) for line in lines] for lines in dashed] == [[[0.6, 0.6]], [[3.5, 3.5]], [[7, 7]]]
