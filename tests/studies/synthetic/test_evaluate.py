"""An SAE that is the truth, and one that is half of it."""

from pathlib import Path

import pytest
import torch

from faithful.base.progress import silent
from studies.common.controls import permuted_sae
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.evaluate import evaluate
from studies.synthetic.plan import arms_of
from tests.studies.random_saes import random_sae
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


def test_recovery_and_fvu_put_the_truth_above_a_trained_sae_and_that_above_its_controls(tmp_path: Path) -> None:
    """A permuted decoder is a control of fvu alone: recovery looks at the rows of latents that fire, in whatever order."""
    config = SyntheticConfig(tmp_path, variants=("topk",), steps=200, batch=128, d_in=16, tokens=4096)
    job, bench = Job("hier", 0, arms_of(config)[0]), Bench(config)
    held = bench.hold(job)
    trained = bench.sae(job, bench.train(job, (0,), held.x, silent), 0)
    recovery, fvu = (
        [
            evaluate(sae, held.truth, held.features).figures[figure]
            for sae in (
                with_codes(held.features, held.truth.vectors),
                trained,
                permuted_sae(trained, 0),
                random_sae(16, trained.d_sae, int(trained.k or 0), seed=0),
            )
        ]
        for figure in ("recovery", "fvu")
    )
    assert recovery[0] == 1 > recovery[1] > recovery[3]
    assert fvu[0] == pytest.approx(0, abs=1e-9) and fvu[0] < fvu[1] < min(fvu[2:])
