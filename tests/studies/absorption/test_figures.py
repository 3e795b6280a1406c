"""The figure of parents: drawn where there are any."""

from pathlib import Path
from typing import Any

from studies.absorption.figures import draw


def test_parents_of_every_task_are_drawn_and_nothing_where_there_are_none(tmp_path: Path) -> None:
    of = {
        "own": {
            metric: {"value": value, "ci95": None} for metric, value in (("main_f1", 0.9), ("full_absorption", 0.1))
        }
    }
    summary: Any = {
        "parents": {"letters": {"a": of, "b": of}, "other": {"parent": of}, "weak": {}},
        "corpora": {"own": {}},
    }
    draw(summary, tmp_path)
    text = (tmp_path / "parents.svg").read_text(encoding="utf-8")
    assert ">letters<" in text and ">other<" in text and ">weak<" not in text and ">a<" in text
    draw({**summary, "parents": {"letters": {}}}, tmp_path / "none")
    assert not (tmp_path / "none").exists()
