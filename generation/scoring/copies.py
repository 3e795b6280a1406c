"""What the `copy` test bets on, and exact duplicates of documents."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

ORDER = 8
CONTEXTS_AT_ONCE = 1 << 23
_BITS = 24
_BASE = np.uint64(0x9E3779B97F4A7C15)
Documents = tuple[np.ndarray, np.ndarray]


def copy_predictions(tokens: np.ndarray, lengths: np.ndarray, order: int = ORDER) -> np.ndarray:
    """`predictions_within` of documents that are scored, all of them: int64 [tokens] joined, int64 [documents]."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    everything = np.ones(len(lengths), dtype=bool)
    return predictions_within(lambda: [(tokens, offsets)], everything, lambda: [(tokens, offsets)], order)


def predictions_within(
    split: Callable[[], Iterable[Documents]],
    scored: np.ndarray,
    scored_documents: Callable[[], Iterable[Documents]],
    order: int = ORDER,
    at_once: int = CONTEXTS_AT_ONCE,
) -> np.ndarray:
    """For each scored token the one that followed the last earlier occurrence of the `order` tokens before it.

    Occurrences are looked for anywhere earlier in the split, scored or not, inside documents only. Takes 4 bytes for each
    scored token, at most about 300 MB, and the batch of documents in hand: the split is read again for every 8 million
    scored tokens.

    Args:
        split: reads all documents in index order, joined in batches: int64 [tokens] and their offsets, int64 [rows + 1].
        scored: bool [documents], which of them are scored.
        scored_documents: reads those that are, likewise.
        at_once: contexts looked for in one reading.

    Returns:
        int32 [scored tokens], joined in index order; −1 where fewer than `order` tokens precede in the document or they
        never occurred before.
    """
    total = sum(len(tokens) for tokens, _ in scored_documents())
    predictions = np.full(total, -1, dtype=np.int32)
    passes = max(1, -(-total // at_once))
    for part in range(passes):
        known = _Contexts(_known(scored_documents, order, part, passes))
        if known.count:
            _fill(predictions, split, scored, known, order)
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


def _fill(
    predictions: np.ndarray,
    split: Callable[[], Iterable[Documents]],
    scored: np.ndarray,
    known: "_Contexts",
    order: int,
) -> None:
    """Predict the tokens behind the known contexts, in one reading of the split."""
    last = np.full(known.count, -1, dtype=np.int32)
    row = done = 0
    for tokens, offsets in split():
        of_token = np.repeat(scored[row : row + len(offsets) - 1], np.diff(offsets))
        row += len(offsets) - 1
        places, keys = _keys(tokens, offsets, order)
        context, found = known.find(keys)
        places = places[found]
        by_context = np.argsort(context, kind="stable")
        context, places = context[by_context], places[by_context]
        again = np.concatenate([[False], context[1:] == context[:-1]])
        previous = np.where(again, np.roll(tokens[places], 1), last[context])
        ends = np.append(context[1:] != context[:-1], [True])[: len(context)]
        last[context[ends]] = tokens[places[ends]]
        mine = of_token[places]
        number = np.cumsum(of_token) - 1 + done
        predictions[number[places[mine]]] = previous[mine]
        done += int(of_token.sum())


class _Contexts:
    """A set of contexts by hash, uint64 [n] ascending; most others are told apart by their first bits."""

    def __init__(self, keys: np.ndarray) -> None:
        self.count, self._keys = len(keys), keys
        self._near = np.zeros(2**_BITS, dtype=bool)
        self._near[keys >> np.uint64(64 - _BITS)] = True

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which known context some keys are, int64 [found], and where in them they stand."""
        near = np.flatnonzero(self._near[keys >> np.uint64(64 - _BITS)])
        at = np.minimum(np.searchsorted(self._keys, keys[near]), self.count - 1)
        same = self._keys[at] == keys[near]
        return at[same], near[same]


def _known(documents: Callable[[], Iterable[Documents]], order: int, part: int, passes: int) -> np.ndarray:
    """The distinct contexts of some documents that fall into a part of all there may be, uint64 ascending."""
    found = [np.empty(0, np.uint64)]
    for tokens, offsets in documents():
        keys = _keys(tokens, offsets, order)[1]
        found.append(keys[keys % np.uint64(passes) == part] if passes > 1 else keys)
    return np.unique(np.concatenate(found))


def _keys(tokens: np.ndarray, offsets: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Places that at least `order` tokens of their document precede, int64, and a hash of those tokens, uint64."""
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    places = np.flatnonzero(np.arange(len(tokens)) - starts >= order)
    key = np.zeros(len(places), dtype=np.uint64)
    for back in range(1, order + 1):
        key = key * _BASE + tokens[places - back].astype(np.uint64) + np.uint64(1)
        key ^= key >> np.uint64(29)
    return places, key
