"""Figures of the report."""

from pathlib import Path

from studies.report.figures import position_counts
from studies.report.found import read_run
from studies.report.parts import position_notes


def test_positions_are_counted_as_aligned_contexts_fill_them(run: Path) -> None:
    corpora = {corpus.name: corpus.manifest for corpus in read_run(run).corpora}
    assert position_counts(corpora["own"], 6).tolist() == [3, 3, 2, 2, 1]
    assert position_counts(corpora["prose"], 6).tolist() == [3] * 5
    assert position_notes(read_run(run))[0] == "Contexts for training are aligned, with 9 tokens."
