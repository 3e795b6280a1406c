from studies.common.tables import Table, cell, contrast_tables, plus_minus
from studies.statistics.verdicts import Comparison, judge
from tests.studies.headlines import HEADLINES


def test_a_cell_is_a_figure_with_its_interval_a_number_or_a_dash() -> None:
    figure = {"value": 0.5, "ci95": [-0.25, 1.25]}
    assert cell(figure) == "0.5000 (−0.2500 to 1.2500)" and cell(figure, 2) == "0.50 (−0.25 to 1.25)"
    assert cell({"value": 0.5, "ci95": None}) == "0.5000" and cell(-0.5) == "−0.5000"
    assert [cell(None), cell({}), cell({"value": None, "ci95": None})] == ["–"] * 3


def test_half_an_interval_does_not_leave_its_figure() -> None:
    assert plus_minus(-0.5, [-1.0, 0.0], 2) == "−0.50\u00a0±\u00a00.50"
    assert [plus_minus(0.5, None, 1, sign=True), plus_minus(None, None)] == ["+0.5", "–"]


def test_without_headlines_there_are_no_contrasts_to_show() -> None:
    values = {seed: 0.1 * seed for seed in range(6)}
    explored = judge(HEADLINES["seeds"], [Comparison("own", "b", "pw_mcc", values, dict.fromkeys(range(6), 0.0))])
    assert contrast_tables({"contrasts": explored, "texts": {}}) == []


def test_headlines_stand_in_one_table_with_their_verdicts() -> None:
    figures = {name: {seed: base + 0.001 * seed**2 for seed in range(6)} for name, base in (("own", 0.5), ("b", 0.1))}
    entries = judge(HEADLINES["probes"], [Comparison("own", "b", "accuracy", figures["own"], figures["b"], True)])
    (table,) = contrast_tables({"contrasts": entries, "texts": {}})
    assert isinstance(table, Table) and table.title == "accuracy: contrasts"
    assert table.header == ("corpora", "difference", "95 % interval", "p (Holm)", "verdict")
    assert [row[:2] for row in table.rows] == [("own − b", "+0.4000")]
