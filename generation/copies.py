"""What the `copy` test bets on, and exact duplicates of documents."""

from collections.abc import Sequence

import numpy as np

ORDER = 8
_BASE = np.uint64(0x9E3779B97F4A7C15)


def copy_predictions(tokens: np.ndarray, lengths: np.ndarray, order: int = ORDER) -> np.ndarray:
    """For each token the one that followed the last earlier occurrence of the `order` tokens before it.

    Occurrences are looked for anywhere earlier in the corpus, inside documents only.

    Args:
        tokens: int64 [tokens], the documents joined.
        lengths: int64 [documents], none zero.

    Returns:
        int64 [tokens]; −1 where fewer than `order` tokens precede in the document or they never occurred before.
    """
    predictions = np.full(len(tokens), -1, dtype=np.int64)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.flatnonzero(np.arange(len(tokens)) - starts >= order)
    if len(places) == 0:
        return predictions
    key = np.zeros(len(places), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for back in range(1, order + 1):
            key = key * _BASE + tokens[places - back].astype(np.uint64) + np.uint64(1)
            key ^= key >> np.uint64(29)
    by_key = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[by_key[1:]] == key[by_key[:-1]]) + 1
    predictions[places[by_key[again]]] = tokens[places[by_key[again - 1]]]
    return predictions


def repeated_documents(documents: Sequence[np.ndarray]) -> np.ndarray:
    """bool [documents]: whether the same token sequence stands earlier in the list."""
    seen: set[bytes] = set()
    repeated = np.zeros(len(documents), dtype=bool)
    for place, document in enumerate(documents):
        key = document.astype(np.uint32).tobytes()
        repeated[place] = key in seen
        seen.add(key)
    return repeated
