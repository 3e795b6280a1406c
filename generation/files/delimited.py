"""CSV and TSV as rows. In CSV a quotation mark that begins a field quotes it; a TSV says by its lines whether it does."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from faithful.base.errors import FaithfulError
from generation.files.local_files import builder_ending, refuse_doubled

Opener = Callable[[], AbstractContextManager[BinaryIO]]


def delimited_rows(path: Path, open_file: Opener) -> Iterator[dict[str, str]]:
    """The rows of a file, by the names of its header.

    Where the quotation marks of a TSV are text, as in GLUE's files, a line is a row: where they open fields that are never
    closed, or close only lines later, every line between being a row by itself. A TSV is read to its end to find out.

    Raises:
        FaithfulError: a row of another number of fields than the header, or a quotation that is never closed, with its line;
            two columns of one name.
    """
    csv.field_size_limit(sys.maxsize)
    if builder_ending(path) == ".tsv" and not _quotes(open_file):
        rows = _lines
    else:
        rows = _records
    with open_file() as content:
        yield from rows(path, content)


def _quotes(open_file: Opener) -> bool:
    """Whether quotation marks that begin fields quote them: by that rule every row is whole, and no other reading is.

    Where neither reading gives whole rows the file is held to quote, and its fault is told when it is read so.
    """
    seen: list[str] = []
    spans_rows = False
    with open_file() as content:
        reader = csv.reader(_noted(_text(content), seen), delimiter="\t", strict=True)
        try:
            width = len(next(reader, []))
            seen.clear()
            for row in reader:
                if row and len(row) != width:
                    return not _all_whole(open_file)
                spans_rows = spans_rows or (
                    len(seen) > 1 and width > 1 and all(_is_whole(line, width) for line in seen)
                )
                seen.clear()
        except csv.Error:
            return not _all_whole(open_file)
    return not (spans_rows and _all_whole(open_file))


def _all_whole(open_file: Opener) -> bool:
    """Whether every line that is not blank is a row by itself, of two columns at least."""
    with open_file() as content:
        lines = _text(content)
        width = len(_fields(next(lines, "")))
        return width > 1 and all(_is_whole(line, width) for line in lines if line.strip("\r\n"))


def _is_whole(line: str, width: int) -> bool:
    return len(_fields(line)) == width


def _fields(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _noted(lines: Iterator[str], seen: list[str]) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line


def _text(content: BinaryIO) -> Iterator[str]:
    return iter(io.TextIOWrapper(content, encoding="utf-8-sig", newline=""))


def _records(path: Path, content: BinaryIO) -> Iterator[dict[str, str]]:
    reader = csv.reader(_text(content), delimiter="\t" if builder_ending(path) == ".tsv" else ",", strict=True)
    begin = 1
    try:
        header = next(reader, None)
        if header is None:
            return
        refuse_doubled(path, header)
        begin = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise FaithfulError(
                    f"Line {reader.line_num} of {path} has {len(row)} fields and the header {len(header)}; mend the file."
                )
            if row:
                yield dict(zip(header, row, strict=True))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise FaithfulError(
            f"{path} cannot be read as a table ({error}): the row that begins on line {begin} opens a quotation that does not"
            " end as it should. Write quotation marks that are text twice, inside a field in quotation marks, or the rows as"
            " JSON lines."
        ) from None


def _lines(path: Path, content: BinaryIO) -> Iterator[dict[str, str]]:
    """A line is a row, its quotation marks are text; only for files of which `_all_whole` holds."""
    lines = _text(content)
    header = _fields(next(lines, ""))
    refuse_doubled(path, header)
    return (dict(zip(header, _fields(line), strict=True)) for line in lines if line.strip("\r\n"))
