"""What the splits of a corpus share."""

import numpy as np

from generation.writing.near_duplicates import THRESHOLD, signatures
from generation.writing.train_test_duplicates import matched


def test_near_duplicates_across_equal_a_comparison_of_all_pairs() -> None:
    draw = np.random.default_rng(0)
    right = [draw.integers(0, 50, 60) for _ in range(80)]
    left = [draw.integers(0, 50, 60) for _ in range(20)]
    for place in range(0, 20, 2):
        left[place] = right[3 * place].copy()
        left[place][draw.integers(0, 60, place // 8)] = 99
    minima = [signatures(np.concatenate(part), np.arange(len(part) + 1) * 60) for part in (left, right)]
    pairs = (minima[0][:, None] == minima[1][None]).mean(axis=2) >= THRESHOLD
    assert matched(*minima).tolist() == pairs.any(axis=1).tolist()
    assert 5 <= matched(*minima).sum() < 20
