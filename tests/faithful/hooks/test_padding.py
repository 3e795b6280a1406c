"""Contexts of like length, padded at the right end."""

import numpy as np

from faithful.hooks.padding import length_buckets, pad


def test_padding_repeats_the_last_token_at_the_right_end() -> None:
    ids, real = pad([np.array([7, 8, 9]), np.array([4])])
    assert ids.tolist() == [[7, 8, 9], [4, 4, 4]]
    assert real.tolist() == [[True, True, True], [True, False, False]]


def test_batches_of_like_length_hold_every_row_once() -> None:
    rows = [np.zeros(length) for length in (3, 9, 1, 9, 4)]
    batches = [batch.tolist() for batch in length_buckets(rows, 2)]
    assert batches == [[1, 3], [4, 0], [2]]
    assert list(length_buckets([], 2)) == []
