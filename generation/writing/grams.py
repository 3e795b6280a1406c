"""Runs of 13 tokens in a row, by hash: how much of one text stands word for word in another (the field's usual length)."""

from collections.abc import Sequence

import numpy as np

GRAM = 13
_BITS = 24
_FACTOR = 0x9E3779B97F4A7C15


def gram_hashes(tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all runs of 13 tokens of joined documents; no run crosses the border of two.

    Args:
        tokens: int64 [tokens].
        offsets: int64 [documents + 1].

    Returns:
        uint64 [g], and the document that each is in, int64 [g].
    """
    count = len(tokens) - GRAM + 1
    if count < 1:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    value = np.zeros(count, np.uint64)
    for shift in range(GRAM):
        value = value * np.uint64(_FACTOR) + tokens[shift : shift + count].astype(np.uint64) + np.uint64(1)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[:count]
    inside = np.arange(count) + GRAM <= offsets[owner + 1]
    return value[inside], owner[inside]


def grams_of(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`gram_hashes` of separate rows, int64 [≤ any length] each."""
    joined = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    return gram_hashes(joined, np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64))


class KnownGrams:
    """Some grams, and which of them were met in another text; memory is 8 bytes for each and 16 MiB.

    Args:
        grams: uint64 [g], repeats allowed.
    """

    def __init__(self, grams: np.ndarray) -> None:
        self._known, self._place = np.unique(grams, return_inverse=True)
        self._met = np.zeros(len(self._known), bool)
        self._near = np.zeros(2**_BITS, bool)
        self._near[self._known >> np.uint64(64 - _BITS)] = True

    def meet(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        """Take joined documents of the other text: int64 [tokens] and int64 [documents + 1]."""
        if not len(self._known):
            return
        hashes = gram_hashes(tokens, offsets)[0]
        hashes = hashes[self._near[hashes >> np.uint64(64 - _BITS)]]
        at = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        self._met[at[self._known[at] == hashes]] = True

    def met(self) -> np.ndarray:
        """Bool [g], for each of the grams given whether it was met."""
        return self._met[self._place]
