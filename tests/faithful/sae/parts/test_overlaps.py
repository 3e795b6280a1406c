"""Overlaps beyond what is allowed, and how far groups are from random ones."""

import numpy as np
import pytest
import torch

from faithful.sae.parts.overlaps import conditions, excess_overlap, sample_of
from faithful.sae.stack import init_weights


def test_the_sum_over_all_pairs_by_hand() -> None:
    rows, groups = init_weights(0, 6, 9), torch.tensor([0, 0, 1, 1, 1, 2, -1, -1, 0])
    total = 0.0
    for i in range(9):
        for j in range(9):
            allowed = 0.3 if groups[i] == groups[j] >= 0 else 0.0
            total += max(abs(float(rows[i] @ rows[j])) - allowed, 0) ** 2 * (i != j)
    found = excess_overlap(2 * rows, groups, 0.3, torch.arange(9))
    assert float(found) == pytest.approx(total / 9, rel=1e-5), "rows of any length"


def test_samples_estimate_it_without_bias() -> None:
    rows, groups = init_weights(1, 8, 40), torch.zeros(40, dtype=torch.int64)
    whole = float(excess_overlap(rows, groups, 0.1, torch.arange(40)))
    rng = np.random.default_rng(0)
    drawn = [sample_of(40, 10, rng, rows.device) for _ in range(2000)]
    found = np.mean([float(excess_overlap(rows, groups, 0.1, one)) for one in drawn])
    assert found == pytest.approx(whole, rel=0.02)
    assert all(len(set(one.tolist())) == 10 for one in drawn)
    assert sample_of(7, 10, rng, rows.device).tolist() == list(range(7))


def test_random_rows_are_at_the_edge_and_copies_are_far_beyond() -> None:
    rows = init_weights(3, 400, 120)
    groups = torch.cat([torch.zeros(100), torch.ones(20)]).long()
    found = conditions(rows, groups)
    assert found.shape == (2,) and bool(((found > 0.6) & (found < 1.4)).all())
    rows[1] = torch.nn.functional.normalize(rows[0] + 1e-3 * rows[1], dim=0)
    assert conditions(rows, groups)[0] > 1000
    assert len(conditions(rows, torch.full((120,), -1))) == 0
