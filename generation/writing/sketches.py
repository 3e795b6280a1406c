"""Counts of distinct things that are added up part by part in bounded memory: sketches that merge.

Exact as long as a sketch holds everything it was given, which is what its size is chosen for; beyond that with a stated
error.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from faithful.store.manifest_parts import Curves

SIZE = 1 << 20
NGRAMS = 4

_BLOCK = 1 << 18
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Distinct:
    """How many distinct 64-bit hashes there are: keeps the smallest ones (k minimum values, Bar-Yossef et al. 2002).

    The count is exact up to `size` distinct hashes; beyond, it is the unbiased estimate (size − 1) / the largest kept hash
    as a share of the range (Beyer et al. 2007), of relative standard error 1 / √(size − 2): 0.1 % at 2^20.

    Args:
        size: hashes kept, at least 3; 8 bytes each.

    Attributes:
        kept: uint64, the smallest distinct hashes in rising order.
        full: whether any were left out.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.kept = np.empty(0, np.uint64)
        self.full = False

    def add(self, hashes: np.ndarray) -> None:
        """Take hashes, uint64 [any number], evenly spread over the range; those seen before change nothing."""
        if self.full:
            hashes = hashes[hashes < self.kept[-1]]
        if len(hashes):
            together = np.sort(np.concatenate([self.kept, hashes]))  # np.unique takes 40 times as long
            together = together[np.concatenate([[True], together[1:] != together[:-1]])]
            self.full = self.full or len(together) > self.size
            self.kept = together[: self.size]

    def merge(self, other: "Distinct") -> None:
        """Take what another sketch of the same size was given: shards that are read apart add up to what one reader gets."""
        self.add(other.kept)
        self.full = self.full or other.full

    @property
    def count(self) -> float:
        """Number of distinct hashes."""
        if not self.full:
            return float(len(self.kept))
        return (self.size - 1) / ((float(self.kept[-1]) + 1) / 2.0**64)


class Diversity:
    """Diversity of the first N tokens of documents that come in order, for several N at once.

    n-grams lie within one document, and belong to the first N tokens when their last token does. They are told apart by
    64 bits of hash and counted by `Distinct`, ids exactly.

    Args:
        vocab_size: number of ids of the model.
        budgets: the N, rising; documents beyond the last are not looked at.
        size: of the sketches.
    """

    def __init__(self, vocab_size: int, budgets: Sequence[int], size: int = SIZE) -> None:
        self.vocab_size, self.budgets = vocab_size, list(budgets)
        self._tokens = 0
        self._seen = np.zeros(vocab_size, bool)
        self._sketches = {n: Distinct(size) for n in range(2, NGRAMS + 1)}
        self._totals = dict.fromkeys(range(1, NGRAMS + 1), 0)
        self._points: list[dict[int, tuple[float, int]]] = []

    def add(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        """Take the next documents.

        Args:
            tokens: int64 [tokens], the documents joined.
            offsets: int64 [rows + 1].
        """
        row, rows = 0, len(offsets) - 1
        while row < rows and self.budgets and self._tokens < self.budgets[-1]:
            stop = min(max(row + 1, int(np.searchsorted(offsets, offsets[row] + _BLOCK))), rows)
            self._block(tokens[offsets[row] : offsets[stop]], offsets[row : stop + 1] - offsets[row])
            row = stop

    def curves(self) -> Curves:
        """The curves so far, in lists as long as the budgets; a budget not reached is that of all tokens.

        `budgets` (N), `vocab_coverage` (distinct ids / vocab_size), `type_token` (distinct ids / N) and `distinct_1` …
        `distinct_4` (distinct n-grams / n-grams; Li et al. 2016), 0 where there is no n-gram; `distinct_1` is `type_token`
        by definition.
        """
        points = [*self._points, *[self._now()] * (len(self.budgets) - len(self._points))]
        ids = [point[1][0] for point in points]
        curves: Curves = {
            "budgets": self.budgets,
            "vocab_coverage": [distinct / self.vocab_size for distinct in ids],
            "type_token": [distinct / budget for distinct, budget in zip(ids, self.budgets, strict=True)],
        }
        by_length = {
            f"distinct_{n}": [distinct / max(total, 1) for distinct, total in (point[n] for point in points)]
            for n in range(1, NGRAMS + 1)
        }
        return curves | cast(Curves, by_length)

    def _block(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        """Take a few documents, stopping at each budget to note the counts."""
        ends = np.repeat(offsets[1:], np.diff(offsets))
        values = (tokens + 1).astype(np.uint64)
        grams: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        hashes = np.zeros(len(tokens), np.uint64)
        for n in range(1, NGRAMS + 1):
            last = np.arange(n, len(tokens) + 1)
            hashes = _mixed(hashes[: len(last)] * _GOLDEN + values[n - 1 :])
            inside = last <= ends[: len(last)]
            grams[n] = last[inside], hashes[inside]
        reached = [budget - self._tokens for budget in self.budgets[len(self._points) :]]
        begin = 0
        for stop in [budget for budget in reached if budget <= len(tokens)]:
            self._take(tokens, grams, begin, stop)
            self._points.append(self._now())
            begin = stop
        if len(self._points) < len(self.budgets):
            self._take(tokens, grams, begin, len(tokens))
        self._tokens += len(tokens)

    def _take(self, tokens: np.ndarray, grams: dict[int, tuple[np.ndarray, np.ndarray]], begin: int, stop: int) -> None:
        """Count the n-grams of a block whose last token lies in [begin, stop)."""
        self._seen[tokens[begin:stop]] = True
        for n, (last, hashes) in grams.items():
            low, high = np.searchsorted(last, [begin, stop], side="right")
            self._totals[n] += int(high - low)
            if n > 1:
                self._sketches[n].add(hashes[low:high])

    def _now(self) -> dict[int, tuple[float, int]]:
        """Distinct n-grams and n-grams, by n."""
        counts = {1: float(np.count_nonzero(self._seen))} | {n: sketch.count for n, sketch in self._sketches.items()}
        return {n: (counts[n], self._totals[n]) for n in counts}


def _mixed(values: np.ndarray) -> np.ndarray:
    """Finaliser of SplitMix64 (Steele et al. 2014): a bijection of uint64 that spreads any values over the range."""
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return np.asarray(values ^ (values >> np.uint64(31)))
