"""Rows of different length in one tensor: batches of like length, padding at the right end."""

from collections.abc import Iterator, Sequence

import numpy as np


def length_buckets(rows: Sequence[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Batches of at most `size` rows of like length, longest first: places in `rows`, int64, every row once."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    yield from (order[first : first + size] for first in range(0, len(order), size))


def pad(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One array of rows, each filled up at its right end with its own last token.

    Returns:
        int64 [rows, longest], and bool of the same shape: what is no padding.
    """
    lengths = np.array([len(row) for row in rows])
    ids = np.empty((len(rows), lengths.max()), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        ids[place, len(row) :] = row[-1]
    return ids, np.arange(ids.shape[1]) < lengths[:, None]
