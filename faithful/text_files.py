"""Local files of text: found, opened (plain, .gz, .zst) and read as rows, strictly: a fault names its file and line."""

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from faithful.errors import FaithfulError
from faithful.parts import BOM, Part, Span, is_long, span_rule, spans

BUILDERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
PACKED = (".gz", ".zst")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SAMPLE = 64
_BEGINNING = 4096


def builder_of(path: Path) -> str | None:
    """Type of a file by its name: text, json, csv, parquet or arrow; None for any other."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        found = BUILDERS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return found if found in ("text", "json", "csv") else None
    return BUILDERS.get(suffixes[-1]) if suffixes else None


def find_files(path: Path) -> tuple[str, list[Path]]:
    """Type and files of a file or a folder; hidden files and those of no known type are passed over.

    Raises:
        FaithfulError: an unknown type, an empty folder, or several types in one folder.
    """
    known = ", ".join(BUILDERS)
    if path.is_file():
        builder = builder_of(path)
        if builder is None:
            raise FaithfulError(f"{path} is of no known type; give one of {known} (text types also as .gz or .zst).")
        return builder, [path]
    parts = (file for file in sorted(path.rglob("*")) if file.is_file())
    shown = [file for file in parts if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    by_type: dict[str, list[Path]] = {}
    for file in shown:
        builder = builder_of(file)
        if builder:
            by_type.setdefault(builder, []).append(file)
    if not by_type:
        raise FaithfulError(f"{path} holds no file of a known type ({known}); check the folder.")
    if len(by_type) > 1:
        counts = ", ".join(f"{len(files)} {builder} ({files[0].name} …)" for builder, files in sorted(by_type.items()))
        raise FaithfulError(f"{path} mixes types: {counts}; put those of one type into a folder of their own.")
    return next(iter(by_type.items()))


def choose_split(path: Path, files: list[Path], split: str | None) -> tuple[str | None, list[Path]]:
    """The files of one split, and which it is; all of them and None where nothing was to choose.

    As `datasets` has it, a word of a file's name, or of a folder's on the way to it, names the split (`test-00000.parquet`,
    `dev/a.jsonl`); files that name none belong to `train`.

    Args:
        path: the file or folder that they were found in.
        files: what `find_files` found there.
        split: which to take; None takes `train` where there are several.

    Raises:
        FaithfulError: there is no such split.
    """
    if path.is_file():
        if split is not None:
            raise FaithfulError(f"{path} takes no --split; leave that out.")
        return None, files
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_split_named(file.relative_to(path)), []).append(file)
    if split is None and len(found) == 1:
        return None, files
    chosen = next((name for name, words in SPLITS.items() if split in words), split or "train")
    if chosen not in found:
        raise FaithfulError(f"{path} has no split '{chosen}'; it has {', '.join(found)}: choose with --split.")
    return chosen, found[chosen]


def _split_named(path: Path) -> str:
    """The split that the first telling word of a path names."""
    words = re.split(r"[\W_\d]+", path.as_posix().lower())
    return next((split for word in words for split, names in SPLITS.items() if word in names), "train")


def refuse_undecodable(paths: Iterable[Path]) -> None:
    """Refuse files whose names are not UTF-8: they cannot stand in ids.

    Raises:
        FaithfulError: one is not; names it.
    """
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise FaithfulError(f"The name of {shown} is not UTF-8; rename it.") from None


class TextFiles:
    """Rows of text, JSON, JSON-lines, CSV and TSV files. A text file is one row with the column `text`.

    Attributes:
        names: what the files are called in document ids.
    """

    def __init__(self, builder: str, paths: list[Path], names: list[str]) -> None:
        self.builder, self.paths, self.names = builder, paths, names

    def columns(self) -> list[str]:
        """Every column of the first rows of the first file that has any.

        Raises:
            FaithfulError: a file is damaged, or none holds rows.
        """
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
        """The same files: rows of text files come whole."""
        return self

    def division(self, unit: str) -> str | None:
        """How the files are cut into parts, in words; None where they can only be read from their beginnings.

        Packed files and JSON lists cannot be entered in the middle, nor CSV, whose quoted fields may hold line breaks. A
        text file is cut only where its documents are passages.
        """
        borders = {"json": "line borders", "text": "blank lines" if unit == "passage" else None, "csv": None}
        border = borders[self.builder]
        return span_rule(border) if border and any(map(self._divides, self.paths)) else None

    def parts(self) -> list[Part]:
        """The files in the parts that `division` names; files that cannot be cut as one part each.

        Raises:
            FaithfulError: a file cannot be read.
        """
        found = []
        for file, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            if not self._divides(path):
                found.append(Part(name, 0, partial(self.rows, file)))
                continue
            with _faults_of(path), path.open("rb") as content:
                cut = spans(content, at_blank_lines=self.builder == "text")
            for number, span in enumerate(cut):
                first = number if self.builder == "text" else span.row
                found.append(Part(name, first, partial(self._span, path, span)))
        return found

    def _divides(self, path: Path) -> bool:
        """Whether a file is longer than a part and can be entered in the middle."""
        if path.suffix.lower() in PACKED or not is_long(path):
            return False
        with path.open("rb") as content:
            return self.builder != "json" or not _begins_list(content.readline(_BEGINNING).removeprefix(BOM))

    def _span(self, path: Path, span: Span, skip: int) -> Iterator[dict[str, Any]]:
        with _faults_of(path), path.open("rb") as content:
            content.seek(span.begin)
            if self.builder == "text":
                rows = _whole(content, span.end - span.begin, is_beginning=span.begin == 0)
            else:
                rows = _lines(path, islice(content, span.lines), span.line + 1)
            yield from islice(rows, skip, None)

    def rows(self, file: int, skip: int = 0) -> Iterator[dict[str, Any]]:
        """Rows of a file after the first `skip`.

        Raises:
            FaithfulError: not UTF-8, not of the type its name says, cut off; names the line.
        """
        path = self.paths[file]
        with _faults_of(path), _open(path) as content:
            if self.builder == "text":
                rows = _whole(content)
            else:
                rows = (_objects if self.builder == "json" else _table)(path, content)
            yield from islice(rows, skip, None)


def _whole(content: BinaryIO, size: int = -1, *, is_beginning: bool = True) -> Iterator[dict[str, Any]]:
    text = content.read(size).decode("utf-8-sig" if is_beginning else "utf-8")
    yield {"text": text.replace("\r\n", "\n").replace("\r", "\n")}


def _objects(path: Path, content: BinaryIO) -> Iterator[dict[str, Any]]:
    """JSON lines, or one JSON list of objects or texts."""
    first = content.readline().removeprefix(BOM)
    if not _begins_list(first):
        yield from _lines(path, chain([first], content), 1)
        return
    for place, value in enumerate(json.loads((first + content.read()).decode()), 1):
        yield _object(path, f"element {place}", value)


def _begins_list(line: bytes) -> bool:
    """Whether a file's first line, without a byte order mark, begins a JSON list."""
    return line.lstrip().startswith(b"[")


def _lines(path: Path, lines: Iterable[bytes], first: int) -> Iterator[dict[str, Any]]:
    """JSON lines from line `first` of a file on; blank ones are passed over."""
    for number, line in enumerate(lines, first):
        line = line.removeprefix(BOM) if number == 1 else line
        if line.strip():
            try:
                value = json.loads(line.decode())
            except ValueError as error:
                reason = "UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
                raise FaithfulError(
                    f"Line {number} of {path} is not {reason}: the file is damaged or cut off; mend or replace it."
                ) from None
            yield _object(path, f"line {number}", value)


def _object(path: Path, place: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise FaithfulError(f"{path}, {place}: a JSON object with named columns is needed, not {type(value).__name__}.")
    return value


def _table(path: Path, content: BinaryIO) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    lines = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter="\t" if ".tsv" in path.name.lower() else ",", strict=True)
    header = next(reader, None)
    if header is None:
        return
    for row in reader:
        if row and len(row) != len(header):
            raise FaithfulError(
                f"Line {reader.line_num} of {path} has {len(row)} fields and the header {len(header)}; mend the file."
            )
        if row:
            yield dict(zip(header, row, strict=True))


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Faults of a file as one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FaithfulError(
            f"{path} is not UTF-8 text ({error.reason}); convert it, for example with iconv, then run again."
        ) from None
    except (ValueError, EOFError, OSError, csv.Error) as error:
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
    """The content of Zstandard frames; unlike the library's own reader it reads them all and finds what was cut off.

    Raises (while reading):
        OSError: damaged.
        EOFError: cut off.
    """
    return cast(BinaryIO, io.BufferedReader(_Zstandard(packed), 1 << 20))


class _Zstandard(io.RawIOBase):
    """The bytes behind `unpack_zstandard`."""

    def __init__(self, packed: BinaryIO) -> None:
        self.pieces = self._unpack(packed)
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not len(self.rest):
            piece = next(self.pieces, None)
            if piece is None:
                return 0
            self.rest = memoryview(piece)
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size

    @staticmethod
    def _unpack(packed: BinaryIO) -> Iterator[bytes]:
        import zstandard

        frame, content = None, b""
        try:
            while content := content or packed.read(1 << 17):
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(content)
                content = b""
                if frame.eof:
                    content, frame = frame.unused_data, None
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error
        if frame is not None:
            raise EOFError("the compressed data ends in the middle")


def names_in(root: Path, paths: Iterable[Path]) -> list[str]:
    """Paths inside a folder as they are written in ids."""
    return [path.relative_to(root).as_posix() for path in paths]
