"""Parts of files: what is read in turn where a source has few files, so that its documents come from all over them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

PART_BYTES = 1 << 20
ROW_GROUPS = "row groups"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class FilePart:
    """Consecutive rows of a file.

    Attributes:
        name: what the file is called in document ids.
        first: number of its first row in the file.
        rows: from a number of rows to skip to the rows after them.
    """

    name: str
    first: int
    rows: Callable[[int], Iterator[Mapping[str, object]]]


@dataclass(frozen=True)
class Span:
    """Consecutive lines of a file.

    Attributes:
        begin, end: in bytes.
        line: lines before it.
        lines: lines in it.
        row: lines before it that are not blank.
    """

    begin: int
    end: int
    line: int
    lines: int
    row: int


class Files(Protocol):
    """Files that are read row by row."""

    names: list[str]

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """Rows of a file after the first `skip`."""


def whole_files(reader: Files) -> list[FilePart]:
    """Each file as one part."""
    return [FilePart(name, 0, partial(reader.rows, file)) for file, name in enumerate(reader.names)]


def is_long(path: Path) -> bool:
    """Whether a file is longer than a part."""
    return path.stat().st_size > PART_BYTES


def spans(content: BinaryIO, *, at_blank_lines: bool) -> list[Span]:
    """A file in spans of at least `PART_BYTES` (the last may be smaller), none for an empty file.

    Args:
        content: read once, line by line.
        at_blank_lines: begin spans after blank lines only, unless none comes for another `PART_BYTES`.
    """
    cut: list[Span] = []
    begin, line, row = 0, 0, 0
    offset, lines, rows, after_blank = 0, 0, 0, False
    for text in content:
        blank = not (text.removeprefix(BOM) if lines == 0 else text).strip()
        border = not at_blank_lines or (after_blank and not blank) or offset - begin >= 2 * PART_BYTES
        if offset - begin >= PART_BYTES and border:
            cut.append(Span(begin, offset, line, lines - line, row))
            begin, line, row = offset, lines, rows
        offset, lines, rows, after_blank = offset + len(text), lines + 1, rows + (not blank), blank
    return [*cut, Span(begin, offset, line, lines - line, row)] if offset else []


def span_rule(border: str) -> str:
    """What spans are, in words."""
    return f"parts of {PART_BYTES:,} bytes cut at {border}"
