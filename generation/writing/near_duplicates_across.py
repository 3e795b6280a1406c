"""What the splits of a corpus share: held-out documents, and runs of tokens, that the training split holds too."""

from typing import Any

import numpy as np

from faithful.store.corpus import Corpus, flat_tokens
from generation.writing.grams import KnownGrams, gram_hashes
from generation.writing.near_duplicates import BANDS, PARTNERS, PERMUTATIONS, THRESHOLD, signatures

TRAIN_TOKENS, TEST_TOKENS = 1_000_000, 200_000
GRAM_TOKENS = 2_000_000


def near_duplicates_across(corpus: Corpus) -> dict[str, Any]:
    """Count the held-out documents with a near-duplicate (or a copy) among the training documents.

    Near-duplicates are those of `near_duplicates`. It looks at the first million training tokens and the first 200k
    held-out tokens, or at what there is of them: a larger training split holds more.

    Returns:
        `near_duplicates`, the number found; `documents` and `tokens`, what was looked at, per split.
    """
    train, test = _first_documents(corpus, "train", TRAIN_TOKENS), _first_documents(corpus, "test", TEST_TOKENS)
    looked_at = {"train": train, "test": test}
    return {
        "near_duplicates": int(matched(signatures(*test), signatures(*train)).sum()),
        "documents": {split: len(offsets) - 1 for split, (_, offsets) in looked_at.items()},
        "tokens": {split: len(tokens) for split, (tokens, _) in looked_at.items()},
    }


def shared_grams(corpus: Corpus) -> dict[str, Any]:
    """Runs of 13 tokens of the held-out split that stand in the training split, all of it.

    It looks at the first 2 million held-out tokens and takes 16 bytes for each, and a row group of the training split.

    Returns:
        `grams`, how many there are, and `share` of them found (None without any); `documents` that are long enough to hold
        one, and how many of them share one, `sharing`; `tokens` looked at.
    """
    tokens, offsets = _first_documents(corpus, "test", GRAM_TOKENS)
    grams, owners = gram_hashes(tokens, offsets)
    known = KnownGrams(grams)
    for batch in corpus.batches("train", ["token_ids"]):
        known.meet(*flat_tokens(batch))
    met = known.met()
    return {
        "grams": len(grams),
        "share": float(met.mean()) if len(grams) else None,
        "documents": len(np.unique(owners)),
        "sharing": len(np.unique(owners[met])),
        "tokens": len(tokens),
    }


def matched(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Which rows of `left` agree with a row of `right` in ≥ 80 % of the minima; in a bucket the first 64 are compared.

    Args:
        left, right: uint32 [rows, 128] from `signatures`.

    Returns:
        bool [rows of `left`].
    """
    found = np.zeros(len(left), bool)
    width = PERMUTATIONS // BANDS
    for band in range(BANDS):
        ours, theirs = (_keys(minima[:, band * width : (band + 1) * width]) for minima in (left, right))
        order = np.argsort(theirs, kind="stable")
        first, last = (np.searchsorted(theirs[order], ours, side) for side in ("left", "right"))
        for step in range(PARTNERS):
            rows = np.flatnonzero(~found & (first + step < last))
            if not len(rows):
                break
            partners = order[first[rows] + step]
            found[rows[(left[rows] == right[partners]).mean(axis=1) >= THRESHOLD]] = True
    return found


def _keys(minima: np.ndarray) -> np.ndarray:
    """One uint64 for the minima of a band; a collision costs a comparison and changes nothing."""
    keys = np.zeros(len(minima), np.uint64)
    for column in minima.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def _first_documents(corpus: Corpus, split: str, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """The shortest prefix of whole documents with `budget` tokens, or all: int64 [tokens], int64 offsets [rows + 1]."""
    tokens, lengths = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for batch in corpus.batches(split, ["token_ids"]):
        flat, offsets = flat_tokens(batch)
        rows = min(int(np.searchsorted(offsets, budget)), batch.num_rows)
        tokens.append(flat[: offsets[rows]])
        lengths.append(np.diff(offsets[: rows + 1]))
        budget -= int(offsets[rows])
        if budget <= 0:
            break
    return np.concatenate(tokens), np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
