"""What reads files of rows, whatever they are."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from generation.files.parts import FilePart


class Reader(Protocol):
    """What reads files row by row.

    Attributes:
        names: what the files are called in document ids.
    """

    names: list[str]

    def columns(self) -> list[str]:
        """Names of the columns."""

    def select(self, columns: tuple[str, ...]) -> "Reader":
        """The same files, of which no more than these columns are needed."""

    def division(self, unit: str) -> str | None:
        """How `parts` cuts the files, in words; None where they can only be read from their beginnings."""

    def parts(self) -> list[FilePart]:
        """The files in parts, in the order of their rows."""

    def rows(self, file: int, skip: int = 0) -> Iterator[Mapping[str, Any]]:
        """Rows of a file after the first `skip`."""
