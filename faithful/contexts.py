"""Contexts: the rows of token ids that a model sees, cut from documents (METRICS: contexts for training)."""

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

    Yields:
        int64 [context].
    """
    stops = sorted(eos_ids)
    pending = np.empty(0, dtype=np.int64)
    width = context - 1
    for document in documents:
        open_end = bool(stops) and (len(document) == 0 or int(document[-1]) not in stops)
        pending = np.concatenate([pending, document, stops[:1] if open_end else []]).astype(np.int64)
        while len(pending) >= width:
            yield np.concatenate([[bos_id], pending[:width]])
            pending = pending[width:]
