"""Absorption and detection on planted cases."""

import pytest
import torch

from studies.synthetic.firing import absorption, detection
from tests.studies.synthetic.known import orthogonal

PARENTS = [-1, 0, 0, -1]


def planted() -> torch.Tensor:
    """1,000 tokens each of: the parent alone, with child 1, with child 2, the loner with the parent alone, the loner."""
    kinds = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 1]]
    return torch.tensor(kinds, dtype=torch.bool).repeat_interleave(1000, 0)


def test_the_truth_absorbs_nothing() -> None:
    fires = planted()
    truth = orthogonal(fires.float(), PARENTS)
    found = absorption(fires, fires, torch.eye(4), truth)
    assert found["parents"] == 1
    assert found["absorption"] == found["absorption_raw"] == 0.0
    assert detection(fires, fires, torch.eye(4), truth) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_a_planted_absorber_gives_its_own_absorption() -> None:
    """The parent is silent on 60 % of the first child's tokens and on 10 % of those with it alone."""
    features = planted()
    fires = features.clone()
    fires[1000:1600, 0] = False
    fires[:100, 0] = False
    truth = orthogonal(features.float(), PARENTS)
    found = absorption(fires, features, torch.eye(4), truth)
    assert found["absorption_raw"] == pytest.approx(0.3 - 0.05)
    # two features fire where a child does; the parent with the loner is the only equal among those without one
    assert found["absorption"] == pytest.approx(0.3)
    assert found["absorption_high"] == pytest.approx(0.3) and found["absorption_low"] is None


def test_a_latent_crowded_out_is_no_absorption() -> None:
    """Where two features fire only one latent may, and it is never the parent's, child or not."""
    features = planted()
    fires = features.clone()
    fires[features.sum(1) == 2, 0] = False
    found = absorption(fires, features, torch.eye(4), orthogonal(features.float(), PARENTS))
    assert found["absorption"] == 0.0 and found["absorption_raw"] == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [torch.eye(4)[1:], torch.zeros(0, 4)])
def test_a_parent_that_was_not_found_does_not_count(rows: torch.Tensor) -> None:
    features = planted()
    found = absorption(features[:, 1 : 1 + len(rows)], features, rows, orthogonal(features.float(), PARENTS))
    assert found["parents"] == 0 and found["absorption"] is None


def test_detection_is_of_the_nearest_feature() -> None:
    features = planted()
    fires = features[:, [0, 1]].clone()
    fires[:, 1] = features[:, 0]  # child 1's latent fires with its parent
    found = detection(fires, features, torch.eye(4)[:2], orthogonal(features.float(), PARENTS))
    assert found["precision"] == pytest.approx((1 + 1 / 4) / 2)
    assert found["recall"] == 1.0 and found["f1"] == pytest.approx((1 + 2 * 0.25 / 1.25) / 2)
