"""The table of explanations, as it is read again."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from faithful.base.errors import FaithfulError
from studies.explanations.config import ExplanationsConfig
from studies.explanations.kept import EXPLANATIONS, read_explanations
from tests.studies.explanations.oracle import Server


def test_what_was_written_is_read(explained: tuple[ExplanationsConfig, dict[str, Any], Server], tmp_path: Path) -> None:
    path = explained[0].out / EXPLANATIONS
    rows, found = pl.read_parquet(path), read_explanations(path)
    assert sum(map(len, found.values())) == len(rows) == 36
    for row in rows.to_dicts():
        assert found[row["sha256"]][row["latent"]] == (row["explanation"], row["detection"], row["explained"])
        assert row["explained"] == (row["p"] < 0.05)
    assert read_explanations(tmp_path / "none") == {}


@pytest.mark.parametrize("content", [b"PAR1", b""])
def test_a_damaged_table_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / EXPLANATIONS).write_bytes(content)
    with pytest.raises(FaithfulError, match=r"Cannot read .*explanations\.parquet: .*run the study again"):
        read_explanations(tmp_path / EXPLANATIONS)
