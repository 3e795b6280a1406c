"""Files cut into spans: every byte once, borders where they may be."""

import io

import pytest

from generation.files import parts
from generation.files.parts import BOM, Span, span_rule, spans, whole_files


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 10)


def cut(text: bytes, *, at_blank_lines: bool) -> list[bytes]:
    return [text[span.begin : span.end] for span in spans(io.BytesIO(text), at_blank_lines=at_blank_lines)]


def test_lines_are_cut_once_enough_bytes_came() -> None:
    text = b"".join(b"line %d\n" % number for number in range(7))
    found = cut(text, at_blank_lines=False)
    assert b"".join(found) == text
    assert [part.count(b"\n") for part in found] == [2, 2, 2, 1]


def test_paragraphs_are_cut_after_blank_lines_unless_none_comes() -> None:
    text = b"one\n" * 4 + b"\n\n" + b"two\n" * 9 + b"\nthree\n"
    found = cut(text, at_blank_lines=True)
    assert b"".join(found) == text
    assert found[0] == b"one\n" * 4 + b"\n\n"
    assert found[1] == b"two\n" * 5, "twice the size without a blank line is enough"


def test_spans_know_the_lines_and_rows_before_them() -> None:
    text = b"a234567\n\nb234567\n \nc\n"
    assert spans(io.BytesIO(text), at_blank_lines=False) == [Span(0, 17, 0, 3, 0), Span(17, 21, 3, 2, 2)]
    assert spans(io.BytesIO(b""), at_blank_lines=False) == []
    assert spans(io.BytesIO(BOM + b"\n\nx"), at_blank_lines=True)[0].lines == 3


def test_a_file_that_cannot_be_cut_is_one_part_with_its_rows() -> None:
    class Rows:
        names = ("a", "b")

        def rows(self, file: int, skip: int = 0):
            return iter([{"n": number} for number in range(file, 5)][skip:])

    one, two = whole_files(Rows())
    assert (one.name, two.name, one.first) == ("a", "b", 0)
    assert list(two.rows(3)) == [{"n": 4}]
    assert span_rule("lines") == "parts of 10 bytes cut at lines"
