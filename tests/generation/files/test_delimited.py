"""Tables as text: a quotation mark is text where the lines say so, and quotes where they say that."""

import csv
import io
from pathlib import Path

import pytest
import zstandard

from faithful.base.errors import FaithfulError
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows

N = 60


def sentences(opens: tuple[int, ...] = (), closes: tuple[int, ...] = ()) -> list[str]:
    return ['"' * (i in opens) + f"the film number {i} wears on you" + '"' * (i in closes) for i in range(N)]


def put(path: Path, rows: list[str], end: str = "\n") -> Path:
    lines = ["sentence\tlabel", *(f"{text}\t{i % 2}" for i, text in enumerate(rows))]
    path.write_text(end.join(lines) + end, newline="")
    return path


def read(path: Path, column: str = "sentence") -> list[str]:
    return [row.text for row in Rows(resolve_source(str(path), columns=(column,)), 0)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ((20,), ()),
        ((20,), (27,)),
        ((20, 40), ()),
        ((20, 40), (27, 47)),
        ((0,), (N - 1,)),
        ((N - 1,), ()),
        ((20, 27), (20, 30)),
        (tuple(range(N)), ()),
    ],
)
def test_a_line_is_a_row_where_quotation_marks_are_text(
    tmp_path: Path, opens: tuple[int, ...], closes: tuple[int, ...], end: str
) -> None:
    rows = sentences(opens, closes)
    assert read(put(tmp_path / "train.tsv", rows, end)) == rows


def test_marks_inside_a_field_and_at_its_end_are_text(tmp_path: Path) -> None:
    rows = ['a "quoted" word', 'ends with one"', 'it is 5" long', '"all" of it', "'single'", '""']
    assert read(put(tmp_path / "train.tsv", rows)) == rows


def written(path: Path, rows: list[list[str]], header: list[str]) -> Path:
    """As pandas and the csv module write it."""
    content = io.StringIO()
    writer = csv.writer(content, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
    writer.writerows([header, *rows])
    path.write_text(content.getvalue(), newline="")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_what_a_writer_quoted_is_read_back(tmp_path: Path, ending: str) -> None:
    texts = ["plain", 'with "marks"', "two\nlines", "a\ttab, a comma", '"', "many\n\nlines\n\tand tabs", "x\ty\nz\tw"]
    path = written(tmp_path / f"a.{ending}", [[text, str(i)] for i, text in enumerate(texts)], ["text", "label"])
    assert read(path, "text") == texts
    last = written(tmp_path / f"last.{ending}", [[str(i), text] for i, text in enumerate(texts)], ["label", "text"])
    assert read(last, "text") == texts
    single = written(tmp_path / f"single.{ending}", [[text] for text in texts], ["text"])
    assert read(single, "text") == texts


def test_a_quotation_that_never_ends_is_told_by_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    path.write_text('text,label\nfine,1\n"opens,0\nmore,1\n')
    with pytest.raises(FaithfulError, match=r"open\.csv .* the row that begins on line 3 opens a quotation"):
        read(path, "text")
    ragged = tmp_path / "ragged.tsv"
    ragged.write_text('text\tlabel\nfine\t1\n"opens\t0\nno label\n')
    with pytest.raises(FaithfulError, match=r"ragged\.tsv .* the row that begins on line 3 opens a quotation"):
        read(ragged, "text")
    short = tmp_path / "short.tsv"
    short.write_text("text\tlabel\nfine\t1\nno label\n")
    with pytest.raises(FaithfulError, match=r"Line 3 of .*short\.tsv has 1 fields and the header 2"):
        read(short, "text")


@pytest.mark.parametrize(("name", "between"), [("a.csv", ","), ("a.tsv", "\t"), ("stray.tsv", "\t")])
def test_two_columns_of_one_name_are_refused_and_blank_names_are_not(tmp_path: Path, name: str, between: str) -> None:
    stray = '"' if name == "stray.tsv" else ""
    rows = [[f"{stray}the first {i}", f"the second {i}", "", ""] for i in range(N)]
    path = tmp_path / name
    for header in (["text", "text", "", ""], ["text", "note", "", ""]):
        path.write_text("".join(between.join(row) + "\n" for row in [header, *rows]))
        if header[1] == "text":
            with pytest.raises(FaithfulError, match=r"has several columns called 'text'"):
                read(path, "text")
        else:
            assert read(path, "text") == [row[0] for row in rows]


@pytest.mark.parametrize("ending", [".tsv", ".csv"])
def test_packed_tables_are_read_alike_and_cut_ones_are_noticed(tmp_path: Path, ending: str) -> None:
    rows = sentences((20, 40), (27, 47)) if ending == ".tsv" else sentences()
    plain = put(tmp_path / f"train{ending}", rows)
    if ending == ".csv":
        plain.write_text(plain.read_text().replace("\t", ","))
    packed = tmp_path / f"train{ending}.zst"
    whole = zstandard.compress(plain.read_bytes())
    packed.write_bytes(whole)
    assert read(packed) == read(plain) == rows
    for length in range(1, len(whole), 5):
        packed.write_bytes(whole[:length])
        with pytest.raises(FaithfulError, match="cannot be read"):
            read(packed)
