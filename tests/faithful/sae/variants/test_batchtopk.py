"""The threshold that is saved lets as many fire as the batch did."""

from dataclasses import replace

import pytest
import torch

from faithful.sae.threshold import ThresholdSAE
from faithful.sae.variants.batchtopk import BatchTopK
from tests.faithful.sae.data import CONFIG, batches, trained


def test_the_saved_sae_fires_as_often_and_above_its_threshold() -> None:
    data = batches(300, 64, 24)
    stack = trained(replace(CONFIG, steps=300, lr=5e-3, variant=BatchTopK()), data)
    assert stack.metrics()[0]["l0"] == pytest.approx(4, abs=0.01)
    sae, x = stack.sae(0), torch.cat(data[-20:])
    assert isinstance(sae, ThresholdSAE) and sae.architecture == "batchtopk-k4" and sae.k is None
    codes = sae.encode(x)
    threshold = stack.report(0)["threshold"] / stack.scale
    assert float(codes[codes > 0].min()) > threshold > 0
    assert torch.equal(sae.threshold, torch.full((96,), threshold))
    active = (codes > 0).sum(1).double()
    assert float(active.mean()) == pytest.approx(4, rel=0.15) and float(active.std()) > 0.5
