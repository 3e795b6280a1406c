"""The tables of the unlearning study."""

from typing import Any

from studies.report.readable import in_words
from studies.unlearning.config import STUDY, UnlearningConfig
from studies.unlearning.tables import unlearning_tables


def test_every_setting_has_its_row_on_request(unlearned: tuple[UnlearningConfig, dict[str, Any]]) -> None:
    summary: Any = unlearned[1]
    tables = unlearning_tables(summary)
    assert [len(one.rows) for one in tables[:4]] == [2, 2, 4, 4]
    assert all(len(row) == len(one.header) for one in tables for row in one.rows)
    asked = tables[0].header
    assert [in_words(one) for one in asked] == list(asked), "what the model answers is no figure of a probe"
    shown = [one.title for one in STUDY.tables(summary, full=False)]
    assert not any(title.startswith("Every setting") for title in shown)
