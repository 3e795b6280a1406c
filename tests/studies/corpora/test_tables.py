"""Tables of the corpora study."""

from typing import Any

from studies.common.results import Done
from studies.corpora.tables import corpora_tables, test_rows, verdict_rows
from tests.studies.corpora.made import NAMES, cells


def test_every_table_has_a_row_per_corpus(done: Done) -> None:
    summary: Any = done.summary
    tables = corpora_tables(summary)
    assert len(tables) == 5 and all([row[0] for row in table.rows] == list(NAMES) for table in tables)
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)
    faithfulness, _, _, diversity, shape = tables
    assert f"{summary['tokens_scored']:,} tokens" in faithfulness.title
    found = cells(done)["noise"]
    assert faithfulness.rows[3][3] == f"{found['figures']['ce']:.3f}"
    assert diversity.rows[3][2] == f"{found['text']['curves']['distinct_1'][-1]:.3f}"
    assert shape.rows[3][5] == f"{found['text']['eos_rate']:.2%}"


def test_what_was_declared_stands_beside_the_verdict() -> None:
    scored: Any = {"verdict": "no", "reason": "cooler", "tests": {"pit": {"p_holm": 1e-20}, "copy": {}}}
    cell: Any = {"name": "cool", "as_model": scored, "as_declared": {"verdict": "yes"}}
    plain: Any = cell | {"name": "web", "as_declared": None}
    assert verdict_rows([cell, plain])[1] == [("cool", "no", "cooler", "yes"), ("web", "no", "cooler", "")]
    assert test_rows([cell]) == (("corpus", "pit", "copy"), [("cool", "< 1e-12", "–")])
