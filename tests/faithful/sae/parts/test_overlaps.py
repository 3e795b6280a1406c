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


def test_its_gradient_is_that_of_the_definition() -> None:
    rows, groups = init_weights(2, 6, 9).double().requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 2, -1, -1, 0])
    unit = torch.nn.functional.normalize(rows, dim=1)
    shared = (groups[:, None] == groups) & (groups >= 0)[:, None]
    excess = torch.relu((unit @ unit.T).abs() - 0.2 * shared).masked_fill(torch.eye(9).bool(), 0)
    (wanted,) = torch.autograd.grad(excess.square().sum() / 9, rows)
    (found,) = torch.autograd.grad(excess_overlap(rows, groups, 0.2, torch.arange(9)), rows)
    torch.testing.assert_close(found, wanted)
    assert wanted.abs().max() > 0.01


def test_rows_of_a_diverged_cell_have_no_condition() -> None:
    rows = init_weights(3, 40, 12)
    rows[1, 2] = torch.nan
    assert len(conditions(rows, torch.tensor([0] * 6 + [1] * 6))) == 1
