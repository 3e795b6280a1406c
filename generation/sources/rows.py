"""The documents of a source as a stream that can be left and gone on with."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.hub.errors import PAUSES, Attempts, connection_lost, first_line, is_transient, with_retries
from faithful.store.manifest_parts import RowsState
from generation.files.parts import FilePart, whole_files
from generation.files.reader import Reader
from generation.files.tables import Tables
from generation.files.templates import WIKITEXT, renderer
from generation.files.text_files import TextFiles
from generation.sources.datasets_readers import open_hub, open_saved, reading_fault
from generation.sources.distinct import Distinct
from generation.sources.round_robin import RoundRobin
from generation.sources.source import Row, Source
from generation.sources.task_names import names_one_of
from generation.sources.wikitext import articles

_LONGEST_NAME = 200
READERS: dict[str, Callable[[str, list[Path], list[str]], Reader]] = {
    "text": TextFiles,
    "json": TextFiles,
    "csv": TextFiles,
    "parquet": Tables,
    "arrow": Tables,
}
"""What reads local files, by their type (`generation.files.local_files.BUILDERS`): from type, paths and names in ids."""


class Rows:
    """Documents of a source in an order fixed by (source, seed) alone.

    The files, or their parts (`Source.parts`), are permuted by the seed and up to `Source.open_files` of them are read in
    turn, a row of each. Iterating again goes on where the last iteration stopped. A broken connection is tried again, from
    the row after the last.

    Args:
        source: resolved; not noise.
        seed: ≥ 0.
        state: what `state()` gave: go on after the last row yielded before it; None for the beginning.
        pauses: seconds to wait between attempts to reach the Hub.

    Attributes:
        dropped: how many rows were left out, by reason: `empty`, `task` (see `Source.leave_out`), `not unicode` (the text
            or the name of its task).

    Raises:
        FaithfulError: noise has no rows; while iterating: a damaged file, or a connection that does not come back.
    """

    def __init__(
        self,
        source: Source,
        seed: int,
        state: RowsState | None = None,
        *,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        if source.kind == "noise":
            raise FaithfulError("noise has no rows: its tokens are drawn at random.")
        self.source, self.pauses = source, pauses
        self.dropped: dict[str, int] = dict(state["dropped"]) if state else {}
        self._place: RoundRobin[Row | str] = RoundRobin(seed, state, source.open_files)
        is_text = not (source.samples and source.samples.are_ids)
        self._text = renderer(source.template, source.columns) if is_text else lambda row: ""

    def __iter__(self) -> Iterator[Row]:
        parts = with_retries(self._open, self.source.name, self.pauses)
        for item in self._place.items(len(parts), lambda number, skip: self._part(parts[number], skip)):
            if isinstance(item, Row):
                yield item
            else:
                self.dropped[item] = self.dropped.get(item, 0) + 1

    def state(self) -> RowsState:
        """The place after the last row yielded, as JSON values."""
        return {**self._place.state(), "dropped": dict(self.dropped)}

    def _open(self) -> list[FilePart]:
        """What is read in turn."""
        reader = open_source(self.source).select(needed_columns(self.source))
        if not self.source.parts:
            return whole_files(reader)
        try:
            return reader.parts()
        except Exception as error:
            raise reading_fault(error, self.source.name) from error

    def _part(self, part: FilePart, skip: int) -> Iterator[tuple[int, Row | str]]:
        """Pairs (rows of the part consumed, row or the reason to drop it), through broken connections."""
        what = f"{self.source.name}, {part.name}"
        attempts = Attempts(self.pauses, lambda error, count: connection_lost(what, count, error))
        while True:
            try:
                for consumed, item in self._items(part, skip):
                    skip, attempts.failed = consumed, 0
                    yield consumed, item
                return
            except Exception as error:
                attempts.wait(self._fault(error, what))

    def _fault(self, error: Exception, what: str) -> Exception:
        """A file of a pinned revision that seems to be gone cannot be, so the Hub answered wrongly: a broken connection."""
        if self.source.kind == "hub" and isinstance(error, FileNotFoundError) and not is_transient(error):
            return ConnectionError(first_line(error))
        return reading_fault(error, what)

    def _items(self, part: FilePart, skip: int) -> Iterator[tuple[int, Row | str]]:
        rows = part.rows(skip)
        if self.source.template == WIKITEXT:
            for count, text in articles(self._text(row) for row in rows):
                yield skip + count, self._item(text, {}, part.name, skip + count)
            return
        for number, row in enumerate(rows, skip):
            yield number + 1, self._item(self._text(row), row, part.name, part.first + number)

    def _item(self, text: str, row: Mapping[str, object], file: str, number: int) -> Row | str:
        source, doc_id = self.source, f"{file}:{number}"
        origin = source.name if source.kind in ("hub", "package") or source.builder == "saved" else file
        if source.kind == "embedded":
            origin = doc_id = str(row["path"])
        elif source.builder == "text" and not number:
            doc_id = file
        if source.source_column:
            stated = _field(row, source.source_column)
            tasks = [task for task in (stated if isinstance(stated, list) else [stated]) if isinstance(task, str)]
            tasks = [task for task in tasks if len(task) <= _LONGEST_NAME]
            if any(names_one_of(task, source.leave_out) for task in tasks):
                return "task"
            origin = next((task.strip() for task in tasks if task.strip()), origin)
        if not text.strip() and not source.samples:
            return "empty"
        try:
            (text + origin).encode()
        except UnicodeEncodeError:
            return "not unicode"
        return Row(doc_id, text, origin, row if source.samples else {})


def open_source(source: Source) -> Reader:
    """A reader of a pinned source's files."""
    if source.kind == "hub":
        repo, split, revision = str(source.repo), str(source.split), str(source.revision)
        return open_hub(repo, source.config, split, revision, source.data_files, source.builder)
    if source.builder == "saved":
        return open_saved(Path(str(source.root)) / (source.split or ""))
    read = READERS[str(source.builder)]
    reader = read(str(source.builder), [Path(path) for path in source.data_files], source.file_names())
    return Distinct(reader, source.columns) if source.distinct else reader


def needed_columns(source: Source) -> tuple[str, ...]:
    """Columns that its text, the names of its tasks and what is said of its samples are read from."""
    column = (source.source_column or "").split(".")[0]
    beside = source.samples.columns() if source.samples else ()
    return tuple(dict.fromkeys([*source.columns, *([column] if column else []), *beside]))


def _field(row: Mapping[str, object], name: str) -> Any:
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
