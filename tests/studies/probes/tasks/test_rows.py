"""Rows by their columns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.absorption import texts
from studies.interventions.examples import load_pair
from studies.probes.tasks.rows import rows_of
from studies.unlearning.questions import load_questions

NOT_USED: Any = None


def test_rows_hold_the_columns_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pl.DataFrame({"a": ["x", "y"], "b": ["1", "2"], "c": ["no", "no"]}).write_csv(path)
    found = rows_of(str(path), ("a", "b"), "hint")
    assert [(row["a"], row["b"]) for row in found] == [("x", "1"), ("y", "2")]
    with pytest.raises(FaithfulError, match="no column 'd'; it has a, b, c: write it so"):
        rows_of(str(path), ("a", "d"), "write it so")


@pytest.mark.parametrize(
    ("read", "row", "said"),
    [
        (
            lambda path: texts.labelled(path, NOT_USED, 9, 2, 0),
            dict.fromkeys(texts.COLUMNS, "a"),
            "lacks a text or a label",
        ),
        (
            lambda path: load_questions(str(path), 9, 0, NOT_USED),
            {"question": "a", "choices": ["a", "b"], "answer": 0},
            "is empty|no list of choices|no answer",
        ),
        (
            lambda path: load_pair(f"{path}:text:a:b", 8, 8, 0, NOT_USED),
            {"text": "t", "a": "1", "b": "2"},
            "with one label|has 1 value",
        ),
    ],
)
def test_a_row_that_lacks_a_key_is_as_one_with_an_empty_value(
    read: Callable[[Path], Any], row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """JSON lines need not hold every key."""
    path = tmp_path / "rows.jsonl"
    for name in row:
        lacking = {key: value for key, value in row.items() if key != name}
        path.write_text("".join(json.dumps(one) + "\n" for one in (row, lacking)), encoding="utf-8")
        with pytest.raises(FaithfulError, match=said):
            read(path)
