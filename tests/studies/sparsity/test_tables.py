"""The tables of sparsity: only columns that some corpus has."""

from typing import Any

from studies.sparsity.tables import sparsity_tables


def test_columns_without_figures_are_left_out() -> None:
    of = {metric: {"value": 0.5, "ci95": [0.4, 0.6]} for metric in ("c_dec", "l0")}
    summary: Any = {"corpora": {"own": of, "web": {"c_dec": of["c_dec"]}}, "axes": [], "contrasts": []}
    overlaps, firing = sparsity_tables(summary)
    assert overlaps.header == ("corpus", "c_dec") and overlaps.rows[1] == ("web", "0.5000\xa0±\xa00.1000")
    assert firing.header == ("corpus", "l0") and firing.rows[1] == ("web", "–")
