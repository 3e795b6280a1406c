"""Rows of a file or of a set on the Hub by their columns, for studies that read more than text."""

from collections.abc import Mapping, Sequence
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.hub.errors import PAUSES, with_retries
from generation.sources.datasets_readers import reading_fault
from generation.sources.resolve import resolve_source
from generation.sources.rows import open_source


def rows_of(place: str, columns: Sequence[str], hint: str, **options: Any) -> list[Mapping[str, Any]]:
    """All rows of a place: the values of the columns, None where a row lacks one.

    Args:
        place: a file, a folder of files, or a set on the Hub.
        columns: to read.
        hint: how columns are named, for people.
        options: of `resolve_source`: config, split.

    Raises:
        FaithfulError: it cannot be read, or lacks a column.
    """

    def read() -> list[Mapping[str, Any]]:
        source = resolve_source(place, columns=(columns[0],), leave_out=(), **options)
        try:
            reader = open_source(source)
            available = reader.columns()
            missing = [column for column in columns if column not in available]
            if missing:
                raise FaithfulError(f"{place} has no column '{missing[0]}'; it has {', '.join(available)}: {hint}.")
            chosen = reader.select(tuple(columns))
            rows = (row for file in range(len(chosen.names)) for row in chosen.rows(file))
            return [{name: row.get(name) for name in columns} for row in rows]
        except Exception as error:
            raise reading_fault(error, place) from error

    return with_retries(read, place, PAUSES)
