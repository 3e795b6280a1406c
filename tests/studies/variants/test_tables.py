"""The tables of the study of variants."""

from studies.common.results import Done
from studies.variants.config import STUDY


def test_every_variant_is_a_line_and_every_contrast(done: Done) -> None:
    tables = STUDY.tables(done.summary)
    assert [one.header[0] for one in tables] == ["variant", "variant", "figure", "figure", "figure"]
    assert [row[0] for row in tables[0].rows] == ["topk", "anneal-s2", "frozen-decoder"]
    assert tables[2].rows[0][:2] == ("fvu", "anneal-s2")
    assert {row[:2] for row in tables[3].rows} >= {("accuracy", "anneal-s2"), ("fvu", "frozen-decoder")}
    assert {row[1].split(" ")[0] for row in tables[4].rows} == {"anneal-s2", "frozen-decoder"}
    assert all(" on web" in row[1] for row in tables[4].rows) and len(STUDY.tables(done.summary, full=False)) == 4
    assert STUDY.warnings(done.summary) and "on own" in STUDY.notes(done.summary)[0]
