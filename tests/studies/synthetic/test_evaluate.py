"""An SAE that is the truth, and one that is half of it."""

import pytest
import torch

from studies.synthetic.evaluate import evaluate
from tests.studies.synthetic.known import orthogonal, with_codes


def test_the_truth_as_an_sae() -> None:
    features = (torch.rand(5000, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    features[:, 1] *= features[:, 0]
    truth = orthogonal(features, [-1, 0, -1, -1, -1, -1])
    found = evaluate(with_codes(features[:4096], torch.eye(6)), truth, features[:4096])
    said = found.figures
    assert said["fvu"] == 0.0 and said["dead"] == 0 and said["l0"] == said["true_l0"]
    assert said["recovery"] == said["f1"] == 1.0 and said["absorption"] == 0.0
    assert torch.equal(found.rows, torch.eye(6))


def test_dead_latents_are_no_finds() -> None:
    features = torch.eye(4).repeat(10, 1)
    codes = features.clone()
    codes[:, 2:] = 0
    said = evaluate(with_codes(codes, 3 * torch.eye(4)), orthogonal(features, [-1] * 4), features).figures
    assert (said["alive"], said["dead"], said["recovery"], said["l0"]) == (2, 2, 0.5, 0.5)
    # 10 tokens each: 3 − 1 missed twice, 1 twice; the spread around the mean is 40 · (1 − 1/4)
    assert said["fvu"] == pytest.approx((20 * 4 + 20) / 30)
