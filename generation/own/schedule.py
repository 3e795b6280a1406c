"""Which samples are still to be drawn for one split, and when a shard is whole.

Shard j covers the samples [jK, (j+1)K). A split is the shortest prefix of samples that holds the tokens asked for, so
the last shard is usually cut. The samples stay with the worker that draws them: here their lengths are known, which say
when it can make the shard, and of how many rows. New shards are committed in order; damaged ones are replaced where they
stand.
"""

from collections.abc import Container, Mapping

import numpy as np
import numpy.typing as npt

from faithful.store.corpus import Document, Shard
from faithful.store.shard_files import EncodedShard
from generation.own.workers import Range
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.sampling.seeds import sample_seed


class SplitSchedule:
    """The open work of one split: either to make damaged shards again, or to grow.

    Where shards are damaged nothing else is done; the coordinator's caller makes a new schedule afterwards to grow.

    Args:
        split: `train` or `test`.
        domain: seed domain, `train` or `eval`.
        seed: the run's seed.
        target: tokens wanted.
        settings: shard size and whether shards are drained.
        committed: shards of the manifest, in order.
        damaged: numbers among `committed` that must be made again.
        kept: documents of a partial last shard that stay as they are (where no bytes are promised).
        mean_tokens: expected tokens per sample, to plan ahead.
    """

    def __init__(
        self,
        split: str,
        domain: str,
        seed: int,
        target: int,
        settings: EngineSettings,
        committed: list[Shard],
        damaged: list[int],
        kept: list[Document],
        mean_tokens: float,
    ) -> None:
        self.split, self.domain, self.seed, self.settings = split, domain, seed, settings
        self.shards = list(committed)
        self.committed_tokens = sum(shard.tokens for shard in committed)
        # A damaged shard is replaced where it stands, so that the rows behind it keep their numbers; nothing grows
        # meanwhile, for a split that grows must be a prefix without holes at every instant.
        self.repairs = {number: committed[number].rows for number in damaged}
        self.target = 0 if damaged else target
        # By shard: the lengths of its samples, -1 for those that nobody has (`open`); the rows that whoever has them was
        # asked to make it of (`asked`) and their tokens (`expected`); what was made (`made`). `grown` are those to look at
        # again, `waiting` those to draw before new ones are begun, `kept` the rows of one that are there already.
        self.open: dict[int, npt.NDArray[np.int32]] = {}
        self.grown: set[int] = set()
        self.asked: dict[int, int] = {}
        self.expected: dict[int, int] = {}
        self.made: dict[int, EncodedShard] = {}
        self.kept: dict[int, tuple[Sample, ...]] = {}
        self.waiting: list[int] = list(damaged)
        self.mean_tokens = mean_tokens
        self.seen_rows = self.seen_tokens = 0
        # The last shard was cut where an earlier budget was reached: to grow it is opened again. Where bytes are
        # promised all of it is drawn anew, since what is drawn together decides them; elsewhere its rows stay and only
        # the rest is drawn.
        if self.committed_tokens < self.target and committed and committed[-1].rows < settings.shard_rows:
            self.committed_tokens -= self.shards.pop().tokens
            self.waiting.append(len(self.shards))
            self.kept[len(self.shards)] = tuple(
                Sample(d.index, d.seed, d.token_ids, d.finish_reason, d.logprob_p or [], d.logprob_q) for d in kept
            )
        self.next_new = len(self.shards) + len(self.waiting)

    @property
    def done(self) -> bool:
        """Whether nothing is left to draw."""
        return not self.repairs and self.reached(len(self.shards), self.committed_tokens)

    def reached(self, shards: int, tokens: float) -> bool:
        """Whether so many shards, and so many tokens, are enough."""
        return self.is_cut_at(tokens)

    def is_cut_at(self, tokens: float) -> bool:
        """Whether the split ends with the row that makes its tokens so many."""
        return tokens >= self.target

    def shard_number(self, place: int) -> int:
        """Number in the corpus of the shard at a place among those that are made here."""
        return place

    def next_range(self) -> Range | None:
        """The next shard to draw, None while enough is under way."""
        if self.done or (not self.repairs and self.is_cut_at(self._before(self.asked)[1])):
            return None
        if not self.waiting:
            expected = self.committed_tokens + len(self.open) * self.settings.shard_rows * self.mean_tokens
            if self.reached(len(self.shards) + len(self.open), expected):
                return None
            self.waiting.append(self.next_new)
            self.next_new += 1
        place = self.waiting.pop(0)
        number, rows = self.shard_number(place), self.settings.shard_rows
        if place in self.repairs and not self.settings.deterministic:
            rows = self.repairs[place]
        first, kept = number * self.settings.shard_rows, self.kept.get(place, ())
        self.open[place] = np.full(rows, -1, np.int32)
        self._note(place, {sample.index: len(sample.token_ids) for sample in kept})
        wanted = (first + int(row) for row in np.flatnonzero(self.open[place] < 0))
        requests = tuple(Request(i, sample_seed(self.seed, self.domain, i)) for i in wanted)
        return Range(self.split, place, number, requests, kept)

    def give_back(self, place: int) -> None:
        """Whoever drew a shard has it no more: it waits again, and is begun anew with the rows that are kept."""
        if place in self.open:
            del self.open[place]
            self.asked.pop(place, None)
            self.waiting = sorted([place, *self.waiting])

    def add(self, place: int, lengths: Mapping[int, int]) -> None:
        """Take the lengths of samples of an open shard, by their indices; those of a shard no longer wanted are dropped."""
        if place in self.open:
            self._note(place, lengths)
            self.seen_rows += len(lengths)
            self.seen_tokens += sum(lengths.values())
            if self.seen_rows >= 32:
                self.mean_tokens = self.seen_tokens / self.seen_rows

    def to_make(self) -> tuple[int, int] | None:
        """Another shard that can be made now, and of how many rows: a whole one in any order, the last where it is cut."""
        while self.grown:
            place = self.grown.pop()
            wanted = self.repairs.get(place, self.settings.shard_rows)
            if place in self.open and place not in self.asked and self._leading(place) >= wanted:
                return self._ask(place, wanted)
        # Only what is made is sure: a worker may die before it has made what it was asked for, and another engine may
        # draw other lengths.
        place, tokens = self._before(self.made)
        if place in self.open and place not in self.asked and (rows := self._cut(place, tokens)):
            return self._ask(place, rows)
        return None

    def _ask(self, place: int, rows: int) -> tuple[int, int]:
        self.asked[place], self.expected[place] = rows, int(self.open[place][:rows].sum())
        return place, rows

    def take(self, place: int, made: EncodedShard) -> None:
        """Take a shard that was made; one no longer wanted is dropped."""
        if place in self.asked:
            self.made[place] = made

    def whole(self) -> tuple[int, EncodedShard, int] | None:
        """A shard that can be committed now, and how many of its rows, else None."""
        for place, rows in self.repairs.items():
            if place in self.made:
                return place, self.made[place], rows
        place, tokens = len(self.shards), self.committed_tokens
        if place not in self.made or self.reached(place, tokens):
            return None
        return place, self.made[place], self._cut(place, tokens) or self.asked[place]

    def commit(self, place: int, shard: Shard) -> None:
        """Note a written shard; once the target is reached, drop what was planned beyond it."""
        for known in (self.open, self.asked, self.made):
            known.pop(place, None)
        if place in self.repairs:
            del self.repairs[place]
            self.committed_tokens -= self.shards[place].tokens
            self.shards[place] = shard
        else:
            self.shards.append(shard)
        self.committed_tokens += shard.tokens
        if self.done:
            self.waiting.clear()
            self.open, self.asked, self.made = {}, {}, {}

    def _note(self, place: int, lengths: Mapping[int, int]) -> None:
        first = self.shard_number(place) * self.settings.shard_rows
        for index, tokens in lengths.items():
            self.open[place][index - first] = tokens
        self.grown.add(place)

    def _leading(self, place: int) -> int:
        """How many rows of an open shard are there without a hole."""
        missing = self.open[place] < 0
        return int(missing.argmax()) if missing.any() else len(missing)

    def _before(self, known: Container[int]) -> tuple[int, int]:
        """The first shard that is neither committed nor among those known, and the tokens before it."""
        place, tokens = len(self.shards), self.committed_tokens
        while place in known:
            tokens += self.expected[place]
            place += 1
        return place, tokens

    def _cut(self, place: int, tokens: int) -> int | None:
        """Rows of an open shard at which the split ends, where so many tokens come before it and those rows are there."""
        lengths = self.open[place][: self._leading(place)]
        if not self.is_cut_at(tokens + int(lengths.sum())):
            return None
        for row, total in enumerate((tokens + lengths.cumsum(dtype=np.int64)).tolist(), start=1):
            if self.is_cut_at(total):
                return row
        return None

    def tokens_now(self) -> int:
        """Tokens committed and in hand that are wanted, for a progress bar.

        Of what a later shard has that is as much as those before it leave over, should they come out as long as expected.
        """
        done, ends = self.committed_tokens if self.target else 0, float(self.committed_tokens)
        done += sum(len(sample.token_ids) for place in self.waiting for sample in self.kept.get(place, ()))
        for place in sorted(self.open):
            lengths = self.open[place]
            have = int(lengths[lengths > 0].sum())
            done += min(have, max(0, int(self.target - ends))) if self.target else have
            ends += max(have, len(lengths) * self.mean_tokens)
        return min(self.target, done) if self.target else done
