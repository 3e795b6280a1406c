"""Local files of text: found, opened (plain, .gz, .zst) and read as rows, strictly: a fault names its file and line."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from faithful.base.errors import FaithfulError
from generation.files.delimited import delimited_rows
from generation.files.json_rows import are_lines, json_lines, json_rows
from generation.files.local_files import PACKED
from generation.files.parts import FilePart, Span, is_long, span_rule, spans

_SAMPLE = 64
_PIECE = 1 << 17


class TextFiles:
    """Rows of text, JSON, JSON-lines, CSV and TSV files. A text file is one row with the column `text`.

    Attributes:
        names: what the files are called in document ids.
    """

    def __init__(self, builder: str, paths: list[Path], names: list[str]) -> None:
        self.builder, self.paths, self.names = builder, paths, names

    def columns(self) -> list[str]:
        """Every column of the first rows of the first file that has any; nothing of text files is read.

        Raises:
            FaithfulError: a file is damaged, or none holds rows.
        """
        if self.builder == "text":
            return ["text"]
        for file in range(len(self.paths)):
            rows = list(islice(self.rows(file), _SAMPLE))
            if rows:
                return list(dict.fromkeys(key for row in rows for key in row))
        raise FaithfulError(f"{self.paths[0].parent if len(self.paths) > 1 else self.paths[0]} holds no rows.")

    def later_column(self, names: Sequence[str]) -> str | None:
        """The first of these columns that any row has, the files read to their end; only JSON rows may differ.

        Raises:
            FaithfulError: a file is damaged.
        """
        if self.builder != "json":
            return None
        keys = [json.dumps(name).encode() for name in names]
        found: set[str] = set()
        for file, path in enumerate(self.paths):
            with _faults_of(path), _open(path) as content:
                possible = any(key in line for line in content for key in keys)
            if possible:
                found.update(name for row in self.rows(file) for name in names if name in row)
        return next((name for name in names if name in found), None)

    def select(self, columns: tuple[str, ...]) -> "TextFiles":
        """The same files: rows of text files come whole.

        Raises:
            FaithfulError: a table lacks one of the columns, or the first rows of a file of objects have none of them.
        """
        for file, path in enumerate(self.paths if len(self.paths) > 1 and self.builder != "text" else ()):
            rows = list(islice(self.rows(file), 1 if self.builder == "csv" else _SAMPLE))
            found = list(dict.fromkeys(key for row in rows for key in row))
            lacking = [name for name in columns if name not in found]
            # a single object may leave out what it has not; several of them that all do are of another kind
            is_other = bool(lacking) if self.builder == "csv" else len(rows) > 1 and len(lacking) == len(columns)
            if rows and is_other:
                raise FaithfulError(
                    f"{path} has the columns {', '.join(found)} and no {' and no '.join(lacking)}, as other files here have;"
                    " put files of the same columns into a folder of their own."
                )
        return self

    def division(self, unit: str) -> str | None:
        """How the files are cut into parts, in words; None where they can only be read from their beginnings.

        Packed files and JSON lists cannot be entered in the middle, nor CSV, whose quoted fields may hold line breaks. A
        text file is cut only where its documents are passages.
        """
        borders = {"json": "line borders", "text": "blank lines" if unit == "passage" else None, "csv": None}
        border = borders[self.builder]
        return span_rule(border) if border and any(map(self._divides, self.paths)) else None

    def parts(self) -> list[FilePart]:
        """The files in the parts that `division` names; files that cannot be cut as one part each.

        Raises:
            FaithfulError: a file cannot be read.
        """
        found = []
        for file, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            if not self._divides(path):
                found.append(FilePart(name, 0, partial(self.rows, file)))
                continue
            with _faults_of(path), path.open("rb") as content:
                cut = spans(content, at_blank_lines=self.builder == "text")
            for number, span in enumerate(cut):
                first = number if self.builder == "text" else span.row
                found.append(FilePart(name, first, partial(self._span, path, span)))
        return found

    def _divides(self, path: Path) -> bool:
        """Whether a file is longer than a part and can be entered in the middle."""
        if path.suffix.lower() in PACKED or not is_long(path):
            return False
        if self.builder != "json":
            return True
        with path.open("rb") as content:
            return are_lines(content)

    def _span(self, path: Path, span: Span, skip: int) -> Iterator[Mapping[str, object]]:
        with _faults_of(path), path.open("rb") as content:
            content.seek(span.begin)
            if self.builder == "text":
                rows = _whole(content, span.end - span.begin, is_beginning=span.begin == 0)
            else:
                rows = json_lines(path, islice(content, span.lines), span.line + 1)
            yield from islice(rows, skip, None)

    def rows(self, file: int, skip: int = 0, *, beginning: bool = False) -> Iterator[Mapping[str, Any]]:
        """Rows of a file after the first `skip`; with `beginning` no more than the first piece of a text.

        Raises:
            FaithfulError: not UTF-8, not of the type its name says, cut off; names the line.
        """
        path = self.paths[file]
        with _faults_of(path), _open(path) as content:
            if self.builder == "text":
                rows = _beginning(content) if beginning else _whole(content)
            elif self.builder == "json":
                rows = json_rows(path, content)
            else:
                rows = delimited_rows(path, partial(_open, path))
            yield from islice(rows, skip, None)


def _beginning(content: BinaryIO) -> Iterator[Mapping[str, object]]:
    """The first piece of a text, which may end within a character."""
    piece = content.read(_PIECE)
    yield {"text": codecs.getincrementaldecoder("utf-8-sig")().decode(piece, final=len(piece) < _PIECE)}


def _whole(content: BinaryIO, size: int = -1, *, is_beginning: bool = True) -> Iterator[Mapping[str, object]]:
    text = content.read(size).decode("utf-8-sig" if is_beginning else "utf-8")
    yield {"text": text.replace("\r\n", "\n").replace("\r", "\n")}


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Faults of a file as one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FaithfulError(
            f"{path} is not UTF-8 text ({error.reason}); convert it, for example with iconv, then run again."
        ) from None
    except (ValueError, EOFError, OSError, RecursionError, csv.Error) as error:
        raise FaithfulError(
            f"{path} cannot be read ({str(error).splitlines()[0]}): it is damaged, cut off or not what its name says."
        ) from error


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked."""
    with path.open("rb") as packed:
        if path.suffix.lower() == ".gz":
            yield cast(BinaryIO, gzip.GzipFile(fileobj=packed))
        elif path.suffix.lower() == ".zst":
            yield unpack_zstandard(packed)
        else:
            yield packed


def unpack_zstandard(packed: BinaryIO) -> BinaryIO:
    """The content of Zstandard frames, all of them; closing it closes what it is read from.

    Raises (while reading):
        OSError: damaged or cut off; what was unpacked of its last piece is not given then.
    """
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(stream, _PIECE))


def names_in(root: Path, paths: Iterable[Path]) -> list[str]:
    """Paths inside a folder as they are written in ids."""
    return [path.relative_to(root).as_posix() for path in paths]
