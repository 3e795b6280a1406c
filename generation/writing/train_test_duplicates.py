"""What the splits of a corpus share: held-out documents, and runs of tokens, that the training split holds too."""

import numpy as np

from faithful.store.corpus import Corpus, flat_tokens
from faithful.store.manifest_parts import Across, SharedGrams
from generation.writing.grams import KnownGrams, gram_hashes
from generation.writing.near_duplicates import BANDS, PARTNERS, agree, band_keys, signatures
from generation.writing.statistics import Head

TRAIN_TOKENS, TEST_TOKENS = 1_000_000, 200_000
GRAM_TOKENS = 2_000_000


def train_test_duplicates(corpus: Corpus) -> Across:
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


def shared_grams(corpus: Corpus) -> SharedGrams:
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
    has_match = np.zeros(len(left), bool)
    for band in range(BANDS):
        ours, theirs = (band_keys(minima, band) for minima in (left, right))
        order = np.argsort(theirs, kind="stable")
        first, last = (np.searchsorted(theirs[order], ours, side) for side in ("left", "right"))
        for step in range(PARTNERS):
            rows = np.flatnonzero(~has_match & (first + step < last))
            if not len(rows):
                break
            has_match[rows[agree(left, rows, right, order[first[rows] + step])]] = True
    return has_match


def _first_documents(corpus: Corpus, split: str, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """The shortest prefix of whole documents with `budget` tokens, or all: int64 [tokens], int64 offsets [rows + 1]."""
    head = Head(budget)
    for batch in corpus.batches(split, ["token_ids"]):
        head.add(*flat_tokens(batch))
        if head.missing <= 0:
            break
    return head.joined()
