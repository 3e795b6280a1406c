"""Recovery and agreement on cases whose answer is known."""

import pytest
import torch

from studies.synthetic.recovery import agreement, recovered, rows_of, unit
from studies.synthetic.truths import make_truth
from tests.studies.synthetic.known import orthogonal


def test_the_truth_finds_itself() -> None:
    truth = make_truth("ind", 0, 32)
    found = recovered(truth.vectors, truth)
    assert found["recovery"] == found["recovery_strict"] == found["true_share"] == found["uniqueness"] == 1.0
    assert found["mcc"] == pytest.approx(1.0) and found["alive"] == 128


def test_recovery_counts_features_and_uniqueness_latents() -> None:
    truth = orthogonal(torch.ones(1, 4), [-1] * 4)
    axes = torch.eye(4)
    tilted = axes[1] + 0.75 * axes[2]  # cosines .8 and .6
    found = recovered(unit(torch.stack([axes[0], axes[0], tilted])), truth)
    assert (found["recovery"], found["recovery_strict"]) == (0.5, 0.25)
    assert found["true_share"] == 1.0 and found["uniqueness"] == pytest.approx(2 / 3)
    assert found["mcc"] == pytest.approx((1 + 0 + 0.8) / 3)
    assert found["coherence"] is None
    backwards = recovered(-axes[:1], truth)
    assert backwards["recovery"] == 0.0 and backwards["mcc"] == 1.0


def test_nothing_that_fires_has_found_nothing() -> None:
    found = recovered(torch.zeros(0, 4), orthogonal(torch.ones(1, 4), [-1] * 4))
    assert found["recovery"] == 0.0 and found["mcc"] is None and found["true_share"] is None


def test_coherence_is_1_where_welch_is_reached() -> None:
    """Three unit vectors at 120° in the plane."""
    angles = torch.tensor([0.0, 2.0, 4.0]) * torch.pi / 3
    frame = torch.stack([angles.cos(), angles.sin()], 1)
    truth = orthogonal(torch.ones(1, 2), [-1, -1])
    assert recovered(frame, truth)["coherence"] == pytest.approx(1.0)
    assert recovered(frame[[0, 0, 1]], truth)["coherence"] == pytest.approx(2**0.5)


def test_agreement_says_what_of_the_shared_is_true_and_what_is_composite() -> None:
    truth = orthogonal(torch.ones(1, 6), [-1, 0, 0, -1, -1, -1])
    axes = torch.eye(6)
    halves = unit(torch.stack([axes[0] + axes[1] + axes[2], axes[3] + axes[4] + axes[5]]))
    one = rows_of(torch.stack([axes[0], axes[3], halves[0], halves[1]]), truth)
    other = rows_of(torch.stack([axes[3], axes[0], halves[0], axes[5]]), truth)
    assert one.true.tolist() == [True, True, False, False]
    assert one.composite.tolist() == [True, False, True, False]
    found = agreement(one, other)
    assert found == {
        "overlap": pytest.approx(6 / 8),
        "true_shared": pytest.approx(4 / 6),
        "true_unshared": pytest.approx(1 / 2),
        "composite_shared": 1.0,
    }
    same = agreement(one, one)
    assert same["overlap"] == 1.0 and same["true_unshared"] is None
