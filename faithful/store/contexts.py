"""Contexts: the rows of token ids that a model sees, cut from documents (docs/metrics.md, "Data terms")."""

from collections.abc import Iterable, Iterator

import numpy as np

LAYOUTS = ("aligned", "packed")


def aligned(documents: Iterable[np.ndarray], context: int, bos_id: int) -> Iterator[np.ndarray]:
    """BOS and the first `context` − 1 tokens of each document, no text of another document before it.

    Yields:
        int64 [≤ context].
    """
    for document in documents:
        yield np.concatenate([[bos_id], document[: context - 1]])


def packed(documents: Iterable[np.ndarray], context: int, bos_id: int, eos_ids: Iterable[int]) -> Iterator[np.ndarray]:
    """Documents joined by end-of-text, in windows of `context` − 1 tokens after one BOS; an unfilled last one is dropped.

    A document that ends with an end-of-text gets no second one; where a model has none, documents are joined as they are.
    Where BOS is an end-of-text, one that would follow a row's BOS is skipped, so that no row begins with it twice.

    Yields:
        int64 [context].
    """
    stops = sorted(eos_ids)
    pending = np.empty(0, dtype=np.int64)
    width = context - 1
    for document in documents:
        open_end = bool(stops) and (len(document) == 0 or int(document[-1]) not in stops)
        pending = np.concatenate([pending, document, stops[:1] if open_end else []]).astype(np.int64)
        while True:
            if bos_id in stops and len(pending) and pending[0] == bos_id:
                others = np.flatnonzero(pending != bos_id)
                pending = pending[others[0] if len(others) else len(pending) :]
            if len(pending) < width:
                break
            yield np.concatenate([[bos_id], pending[:width]])
            pending = pending[width:]


def packed_starts(tokens: int, width: int, skipped: np.ndarray) -> np.ndarray:
    """Where the windows of `packed` begin in the stream of all documents.

    Args:
        tokens: length of the stream, the end-of-text between documents included.
        width: tokens of a window.
        skipped: int64 [n] ascending, positions in the stream at which no window may begin.

    Returns:
        int64 [windows].
    """
    if not len(skipped):
        return np.arange(0, tokens - width + 1, width)
    breaks = np.flatnonzero(np.diff(skipped) > 1)
    ends = skipped[np.append(breaks, len(skipped) - 1)] + 1  # of each run of neighbours
    run = np.searchsorted(breaks, np.arange(len(skipped)))
    by_phase = np.lexsort((skipped, skipped % width))
    keys = skipped[by_phase] % width * tokens + skipped[by_phase]
    starts, at = [np.empty(0, np.int64)], 0
    while at + width <= tokens:
        phase = at % width
        hit = int(np.searchsorted(keys, phase * tokens + at))
        meets = hit < len(keys) and keys[hit] // tokens == phase
        stop = int(keys[hit] % tokens) if meets else tokens - width + 1
        starts.append(np.arange(at, stop, width))
        if not meets:
            break
        at = int(ends[run[by_phase[hit]]])
    return np.concatenate(starts)
