"""Rows of text as shuffled windows of documents, a pure function of the source, the seed and the tokenizer.

A document is a row of the source, or a passage of one. They are taken in windows of so many consecutive ones; each window
is shuffled by itself. A row that is a document falls into `train` or `test` by a hash of the tokens that are kept of it, so
equal documents fall on one side; all passages of a row fall on one (`generation.sources.held_out`).
No more than a window, a batch of rows and the longest text are in memory.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from faithful.embedded.passages import Passage, cut
from faithful.store.corpus import SPLITS
from faithful.store.manifest_parts import RowsState, Segment
from generation.external.encoder import Encoder
from generation.sampling.seeds import sample_seed, uniforms
from generation.sources.held_out import side_of_text
from generation.sources.source import Row
from generation.writing.splits import WINDOW, split_of

ROWS, CHARACTERS = 256, 1 << 22
PART = 1 << 20
NO_EOS = -1


class RowStream(Protocol):
    """Rows that can be gone on with: `generation.sources.resolve.Rows`."""

    dropped: dict[str, int]

    def __iter__(self) -> Iterator[Row]: ...

    def state(self) -> RowsState:
        """Where it is: right after the last row given."""
        ...


@dataclass(frozen=True, slots=True)
class Unit:
    """A document to be.

    Attributes:
        doc_id, source: see `faithful.store.corpus.Document`.
        split: `train` or `test`.
        token_ids: uint32 [≤ limit], the end-of-text that closes it included.
        closed: whether one does.
        log_p: stored log p of each id, None where there is none.
    """

    doc_id: str
    source: str
    split: str
    token_ids: np.ndarray
    closed: bool
    log_p: list[float] | None = None


@dataclass(frozen=True)
class Cursor:
    """Where a window begins: all that is needed to go on from there.

    Attributes:
        window: its number.
        rows: documents per split before it.
        state: of the source, before the batch of rows that holds its first document; None is the beginning.
        skip: documents of that batch that belong to earlier windows.
        dropped: texts left out before that batch, by reason.
    """

    window: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    state: RowsState | None = None
    skip: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def segment(self, split: str) -> Segment:
        """It as the place of a split in a manifest."""
        return cast(Segment, {"split": split, **asdict(self)})

    @classmethod
    def of(cls, segment: Mapping[str, Any]) -> "Cursor":
        """The inverse of `segment`."""
        return cls(**{name: value for name, value in segment.items() if name != "split"})


@dataclass(frozen=True)
class Window:
    """Documents in the order in which they are stored.

    Attributes:
        place: where it begins.
        units: its documents, shuffled.
        dropped: texts left out up to its end, by reason.
    """

    place: Cursor
    units: list[Unit]
    dropped: dict[str, int]


@dataclass(frozen=True)
class Cutter:
    """How rows become documents.

    Attributes:
        encoder: makes the ids.
        unit: `document` (a row each) or `passage` (see `faithful.embedded.passages`).
        leaves_out: tells passages that must not be used, by their text.
        held_out: see `Source.held_out`.
        of_samples: makes documents of rows that are samples of a model, and counts; None for texts.
    """

    encoder: Encoder
    unit: str = "document"
    leaves_out: Callable[[str], bool] = lambda text: False
    held_out: Collection[str] = ()
    of_samples: Callable[[list[Row], Counter[str]], list[Unit]] | None = None


def windows(
    open_rows: Callable[[RowsState | None], RowStream],
    cutter: Cutter,
    seed: int,
    size: int = WINDOW,
    start: Cursor | None = None,
) -> Iterator[Window]:
    """Windows of `size` documents from `start` on; the last one may be smaller.

    Args:
        open_rows: the rows of the source after a state (None: all).
        cutter: makes documents of them.
        seed: of the order inside a window.
        size: documents per window.
        start: where to begin, None for the beginning.

    Yields:
        At least one window; it holds no documents where the source has none.
    """
    place = start or Cursor()
    rows = open_rows(place.state)
    counted, read = Counter(place.dropped), Counter(rows.dropped)

    def dropped() -> dict[str, int]:
        return dict(counted + (Counter(rows.dropped) - read))

    waiting: list[Unit] = []
    skip, before, emitted = place.skip, place.dropped, False
    for state, batch in _batches(rows, place.state):
        made = 0
        for units in _documents(batch, cutter, counted):
            made += len(units)
            waiting += units[skip:]
            skip = max(skip - len(units), 0)
            while len(waiting) >= size:
                yield Window(place, _shuffled(waiting[:size], seed, place.window), dropped())
                rows_then = {split: place.rows[split] + _count(waiting[:size], split) for split in SPLITS}
                waiting = waiting[size:]
                place = Cursor(place.window + 1, rows_then, state, made - len(waiting), before)
                emitted = True
        before = dropped()
    if waiting or not emitted:
        yield Window(place, _shuffled(waiting, seed, place.window), dropped())


def _batches(rows: RowStream, state: RowsState | None) -> Iterator[tuple[RowsState | None, list[Row]]]:
    """Batches of rows, each with the state before it; their borders depend on the rows from the beginning on alone."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row.text)
        if len(batch) == ROWS or characters >= CHARACTERS:
            yield state, batch
            state, batch, characters = rows.state(), [], 0
    if batch:
        yield state, batch


def _documents(batch: list[Row], cutter: Cutter, dropped: Counter[str]) -> Iterator[list[Unit]]:
    """The documents of a batch of rows, list by list; what is left out is counted."""
    if cutter.of_samples:
        yield cutter.of_samples(batch, dropped)
        return
    if cutter.unit == "document":
        encoded = cutter.encoder.encode([row.text for row in batch])
        units = [
            Unit(row.doc_id, row.source, split_of(ids[:-1] if closed else ids), ids, closed)
            for row, (ids, closed) in zip(batch, encoded, strict=True)
            if len(ids)
        ]
        dropped["without tokens"] += len(batch) - len(units)
        yield units
        return
    for row in batch:
        made, side = 0, side_of_text(row.text, row.source, cutter.held_out)
        for part in _parts(row.text):
            passages = cut(part, cutter.encoder.backend, NO_EOS, cutter.encoder.limit)
            kept = [(number, p) for number, p in enumerate(passages, made + 1) if not cutter.leaves_out(p.text)]
            dropped["also in the training text of tiny"] += len(passages) - len(kept)
            made += len(passages)
            yield [_passage(row, side, number, passage, cutter.encoder) for number, passage in kept]
        dropped["without tokens"] += made == 0


def _passage(row: Row, side: str, number: int, passage: Passage, encoder: Encoder) -> Unit:
    ids = passage.token_ids[:-1] if passage.complete else passage.token_ids
    return Unit(f"{row.doc_id}#{number}", row.source, side, *encoder.close(np.array(ids, np.uint32)))


def _parts(text: str) -> Iterator[str]:
    """A text in parts of at most 2^20 characters that end with a blank line where there is one, else with a line."""
    begin = 0
    while len(text) - begin > PART:
        ends = (text.rfind(border, begin + PART // 2, begin + PART) + len(border) for border in ("\n\n", "\n"))
        end = next((end for end in ends if end > begin + PART // 2), begin + PART)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _shuffled(units: list[Unit], seed: int, window: int) -> list[Unit]:
    keys = uniforms(np.array([sample_seed(seed, "window", window)]), len(units))[0]
    return [units[place] for place in np.argsort(keys, kind="stable")]


def _count(units: list[Unit], split: str) -> int:
    return sum(unit.split == split for unit in units)
