"""Which samples are still to be drawn for one split, and when a shard is whole.

Shard j covers the samples [jK, (j+1)K). A split is the shortest prefix of samples that holds the tokens asked for, so
the last shard is usually cut. New shards are committed in order; damaged ones are replaced where they stand.
"""

from faithful.store.corpus import Document, Shard
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
        # A damaged shard is replaced where it stands, so that the rows behind it keep their numbers; nothing grows
        # meanwhile, for a split that grows must be a prefix without holes at every instant.
        self.repairs = {number: committed[number].rows for number in damaged}
        self.target = 0 if damaged else target
        # Samples in hand by shard and index: those that stay if a worker dies (`kept`), all of them (`open`). `waiting`
        # are the numbers of shards to draw before new ones are begun.
        self.kept: dict[int, dict[int, Sample]] = {}
        self.open: dict[int, dict[int, Sample]] = {}
        self.waiting: list[int] = list(damaged)
        self.mean_tokens = mean_tokens
        self.seen_rows = self.seen_tokens = 0
        # The last shard was cut where an earlier budget was reached: to grow it is opened again. Where bytes are
        # promised all of it is drawn anew, since what is drawn together decides them; elsewhere its rows stay and only
        # the rest is drawn.
        if self.committed_tokens < self.target and committed and committed[-1].rows < settings.shard_rows:
            self.shards.pop()
            self.waiting.append(len(self.shards))
            self.kept[len(self.shards)] = {
                d.index: Sample(d.index, d.seed, d.token_ids, d.finish_reason, d.logprob_p or [], d.logprob_q)
                for d in kept
            }
            self._reopen(len(self.shards))
        self.next_new = len(self.shards) + len(self.waiting)

    @property
    def committed_tokens(self) -> int:
        """Tokens in committed shards."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def done(self) -> bool:
        """Whether nothing is left to draw."""
        return not self.repairs and self.reached(len(self.shards), self.committed_tokens)

    def reached(self, shards: int, tokens: float) -> bool:
        """Whether so many shards, and so many tokens, are enough."""
        return tokens >= self.target

    def shard_number(self, place: int) -> int:
        """Number in the corpus of the shard at a place among those that are made here."""
        return place

    def next_range(self) -> Range | None:
        """The next shard to draw, None while enough is under way."""
        if self.done:
            return None
        if not self.waiting:
            expected = self.committed_tokens + len(self.open) * self.settings.shard_rows * self.mean_tokens
            if self.reached(len(self.shards) + len(self.open), expected):
                return None
            self.waiting.append(self.next_new)
            self.next_new += 1
        number = self.waiting.pop(0)
        have = self.open.setdefault(number, {})
        first = self.shard_number(number) * self.settings.shard_rows
        rows = self.settings.shard_rows
        if number in self.repairs and not self.settings.deterministic:
            rows = self.repairs[number]
        wanted = (index for index in range(first, first + rows) if index not in have)
        return Range(self.split, number, tuple(Request(i, sample_seed(self.seed, self.domain, i)) for i in wanted))

    def give_back(self, number: int) -> None:
        """A worker died: its shard waits again, without the rows of a run that must be whole; rows kept stay."""
        if number in self.open:
            if self.settings.deterministic:
                self._reopen(number)
            self.waiting.insert(0, number)

    def _reopen(self, number: int) -> None:
        """Begin a shard anew, with the rows of it that stay."""
        self.open[number] = dict(self.kept.get(number, {}))

    def add(self, number: int, samples: list[Sample]) -> None:
        """Take samples of an open shard; those of a shard no longer wanted are dropped."""
        if number in self.open:
            self.open[number].update((sample.index, sample) for sample in samples)
            self.seen_rows += len(samples)
            self.seen_tokens += sum(len(sample.token_ids) for sample in samples)
            if self.seen_rows >= 32:
                self.mean_tokens = self.seen_tokens / self.seen_rows

    def whole(self) -> tuple[int, list[Sample]] | None:
        """A shard that can be committed now, with its rows in order, else None."""
        for number, rows in self.repairs.items():
            ordered = self._prefix(number, rows)
            if len(ordered) == rows:
                return number, ordered
        number, tokens = len(self.shards), self.committed_tokens
        if self.reached(number, tokens):
            return None
        ordered = self._prefix(number, self.settings.shard_rows)
        for place, sample in enumerate(ordered, start=1):
            tokens += len(sample.token_ids)
            if self.reached(number, tokens):
                return number, ordered[:place]
        return (number, ordered) if len(ordered) == self.settings.shard_rows else None

    def commit(self, number: int, shard: Shard) -> None:
        """Note a written shard; once the target is reached, drop what was planned beyond it."""
        self.open.pop(number)
        if number in self.repairs:
            del self.repairs[number]
            self.shards[number] = shard
        else:
            self.shards.append(shard)
        if number in self.waiting:
            self.waiting.remove(number)
        if self.done:
            self.open.clear()
            self.waiting.clear()

    def _prefix(self, number: int, rows: int) -> list[Sample]:
        samples, first = self.open.get(number, {}), self.shard_number(number) * self.settings.shard_rows
        ordered: list[Sample] = []
        for index in range(first, first + rows):
            if index not in samples:
                break
            ordered.append(samples[index])
        return ordered

    def tokens_now(self) -> int:
        """Tokens committed and in hand, for a progress bar."""
        in_hand = sum(len(s.token_ids) for rows in self.open.values() for s in rows.values())
        return min(self.target, self.committed_tokens + in_hand) if self.target else in_hand
