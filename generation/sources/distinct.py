"""Rows of which each text comes once, of files that hold a text as often as something is asked about it."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from generation.files.parts import FilePart, whole_files
from generation.files.reader import Reader


class Distinct:
    """The first row of every text of a file, numbered as they come. A file is read from its beginning.

    Args:
        reader: of the files.
        columns: that make up the text.
    """

    def __init__(self, reader: Reader, columns: tuple[str, ...]) -> None:
        self.names, self._reader, self._columns = reader.names, reader, columns

    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._reader.columns()

    def select(self, columns: tuple[str, ...]) -> "Distinct":
        """The same files, of which no more than these columns are needed."""
        return Distinct(self._reader.select(columns), self._columns)

    def division(self, unit: str) -> str | None:
        """None: which rows of a part are the first is known from the beginning of its file alone."""
        return None

    def parts(self) -> list[FilePart]:
        """The files."""
        return whole_files(self)

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """The first rows of their texts, after the first `skip` of them."""
        return islice(self._first(file), skip, None)

    def _first(self, file: int) -> Iterator[Mapping[str, object]]:
        met: set[bytes] = set()
        for row in self._reader.rows(file):
            text = "\0".join(str(row.get(name)) for name in self._columns)
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if key not in met:
                met.add(key)
                yield row
