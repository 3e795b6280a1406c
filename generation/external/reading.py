"""From a source to the splits of a corpus: reads on from where documents are missing, and notes where that is."""

from bisect import bisect_left

from faithful.base.progress import Progress, Reporter
from faithful.store.corpus import SPLITS, Document, Manifest
from faithful.store.manifest_parts import RowsState
from generation.external.noise import Noise
from generation.external.windows import Cursor, Cutter, Unit, Window, windows
from generation.sources.rows import Rows
from generation.sources.samples import COUNTED, counted_rows
from generation.sources.source import Source
from generation.writing.shards import CorpusWriter

REPORT_EVERY = 512


def take_noise(writer: CorpusWriter, noise: Noise, report: Reporter) -> None:
    """Draw random documents until the writer wants no more."""
    for split in SPLITS:
        while writer.wants(split):
            index = writer.next_row(split)
            writer.add(split, noise.document(split, index))
            if index % REPORT_EVERY == 0:
                tell(writer, report)


class CorpusReader:
    """Reads a source window by window and feeds a writer.

    The manifest's `segments` hold, for each split, the place of the window from which everything that is not in a full
    shard can be made again: what a killed run, and a corpus that grows, goes on from. `provenance["left_out"]` counts the
    texts left out, by reason, up to the end of the furthest window read; `provenance["samples"]` what is counted of samples.

    Args:
        writer: takes the documents. Its `before_commit` is set.
        source: where they come from.
        cutter: makes documents of its rows.
        report: told of progress.
    """

    def __init__(self, writer: CorpusWriter, source: Source, cutter: Cutter, report: Reporter) -> None:
        self.writer, self.source, self.cutter, self.report = writer, source, cutter, report
        self.identity = writer.manifest.identity
        self.rows = {split: writer.next_row(split) for split in SPLITS}
        by_window = {place.window: place for place in (Cursor(), *map(Cursor.of, writer.manifest.segments))}
        self.places = [by_window[window] for window in sorted(by_window)]
        writer.before_commit = self.note

    def run(self) -> bool:
        """Read until the writer wants no more; whether the source ended before that."""
        while self._wanting():
            if self._read_on(min((self._start(split) for split in self._wanting()), key=lambda place: place.window)):
                return True
        return False

    def note(self, manifest: Manifest) -> None:
        """Write into the manifest where to go on."""
        full = {
            split: sum(shard.rows for shard in shards if shard.rows == self.writer.shard_rows)
            for split, shards in manifest.shards.items()
        }
        manifest.segments = [self._last_before(split, full[split]).segment(split) for split in SPLITS]

    def _read_on(self, start: Cursor) -> bool:
        """Read from a place until nothing is wanted, or what is wanted lies further on; whether the source ended."""
        for window in windows(self._open, self.cutter, self.identity["seed"], self.identity["window"], start):
            self._feed(window)
            following = [self._start(split).window for split in self._wanting()]
            if not following or min(following) > window.place.window + 1:
                return False
        return True

    def _feed(self, window: Window) -> None:
        place = window.place
        at = bisect_left(self.places, place.window, key=lambda known: known.window)
        if at == len(self.places) or self.places[at].window != place.window:
            self.places.insert(at, place)  # also between known ones: one split may be read on behind the other
        left_out = self.writer.manifest.provenance.get("left_out")
        if left_out is None or place.window + 1 >= left_out["windows"]:
            texts = {reason: count for reason, count in window.dropped.items() if reason not in COUNTED}
            self.writer.manifest.provenance["left_out"] = {"windows": place.window + 1, "texts": texts}
            if self.source.samples:
                counts = {what: count for what, count in window.dropped.items() if what in COUNTED}
                self.writer.manifest.provenance["samples"] = counted_rows(counts)
        rows = dict(place.rows)
        for number, unit in enumerate(window.units):
            split = unit.split
            if rows[split] == self.rows[split] and self.writer.wants(split):
                self.writer.add(split, _document(rows[split], unit))
                self.rows[split] += 1
            rows[split] += 1
            if number % REPORT_EVERY == 0:
                tell(self.writer, self.report)

    def _wanting(self) -> list[str]:
        return [split for split in SPLITS if self.writer.wants(split)]

    def _start(self, split: str) -> Cursor:
        """The last known place from which the next document of a split can be reached."""
        return self._last_before(split, self.rows[split])

    def _last_before(self, split: str, row: int) -> Cursor:
        return next(place for place in reversed(self.places) if place.rows[split] <= row)

    def _open(self, state: RowsState | None) -> Rows:
        return Rows(self.source, self.identity["seed"], state)


def tell(writer: CorpusWriter, report: Reporter) -> None:
    """Report the tokens in hand."""
    report(Progress("tokenising", sum(writer.tokens.values()), sum(tokens or 0 for tokens in writer.targets.values())))


def _document(index: int, unit: Unit) -> Document:
    reason = "stop" if unit.closed else "length"
    return Document(index, 0, unit.token_ids.tolist(), reason, unit.log_p, doc_id=unit.doc_id, source=unit.source)
