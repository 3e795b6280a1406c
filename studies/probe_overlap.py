"""How much of a probe task's text stands in a corpus that SAEs were trained on: whole texts, and runs of 13 tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faithful.corpus import Corpus, flat_tokens
from studies.probe_examples import text_hash

GRAM = 13
BITS = 24
FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Overlap:
    """Examples that a corpus' training text holds.

    Attributes:
        texts: whose whole text is a document of it, white space aside.
        grams: of which it holds a run of 13 tokens in a row.
        short: that have fewer than 13 tokens, so that only `texts` can tell.
        examples: all of them.
    """

    texts: int
    grams: int
    short: int
    examples: int


def overlaps(corpus: Corpus, sides: Sequence[tuple[Sequence[str], Sequence[np.ndarray]]]) -> list[Overlap]:
    """Overlap of the split `train` with several sets of examples, in one reading; memory does not grow with the corpus.

    Args:
        corpus: tokenised as the examples are.
        sides: hashes of the texts (see `text_hash`) and tokens without BOS, int64 [≤ context] each, of every set.
    """
    tokens = [ids for _, rows in sides for ids in rows]
    grams, owners = grams_of(tokens)
    known, place = np.unique(grams, return_inverse=True)
    seen = np.zeros(len(known), bool)
    near = np.zeros(2**BITS, bool)
    near[known >> np.uint64(64 - BITS)] = True
    wanted, met = {origin for origins, _ in sides for origin in origins}, set()
    for batch in corpus.batches("train", ["token_ids", "text"]):
        joined, offsets = flat_tokens(batch)
        found = _hashes(joined, offsets)[0]
        found = found[near[found >> np.uint64(64 - BITS)]]
        if len(known):
            at = np.minimum(np.searchsorted(known, found), len(known) - 1)
            seen[at[known[at] == found]] = True
        met |= wanted & {text_hash(text) for text in batch.column("text").to_pylist() if text}
    held = np.zeros(len(tokens), bool)
    held[owners[seen[place]]] = True
    result, first = [], 0
    for origins, rows in sides:
        last = first + len(rows)
        short = sum(len(ids) < GRAM for ids in rows)
        result.append(Overlap(sum(one in met for one in origins), int(held[first:last].sum()), short, len(rows)))
        first = last
    return result


def grams_of(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all runs of 13 tokens, uint64 [g], and which row each is in, int64 [g]."""
    joined = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    return _hashes(joined, np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64))


def _hashes(tokens: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of joined documents; no run crosses the border of two."""
    count = len(tokens) - GRAM + 1
    if count < 1:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    value = np.zeros(count, np.uint64)
    for shift in range(GRAM):
        value = value * np.uint64(FACTOR) + tokens[shift : shift + count].astype(np.uint64) + np.uint64(1)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[:count]
    inside = np.arange(count) + GRAM <= offsets[owner + 1]
    return value[inside], owner[inside]
