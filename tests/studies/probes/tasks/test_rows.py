"""Rows by their columns."""

from pathlib import Path

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.probes.tasks.rows import rows_of


def test_rows_hold_the_columns_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pl.DataFrame({"a": ["x", "y"], "b": ["1", "2"], "c": ["no", "no"]}).write_csv(path)
    found = rows_of(str(path), ("a", "b"), "hint")
    assert [(row["a"], row["b"]) for row in found] == [("x", "1"), ("y", "2")]
    with pytest.raises(FaithfulError, match="no column 'd'; it has a, b, c: write it so"):
        rows_of(str(path), ("a", "d"), "write it so")
