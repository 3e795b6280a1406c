"""Rows never leave the cone around their start."""

from dataclasses import replace

import torch

from faithful.sae.stack import init_weights
from faithful.sae.variant import Variant, find_variant
from faithful.sae.variants.soft_frozen import SoftFrozen
from tests.faithful.sae.data import CONFIG, batches, trained


def test_rows_stay_within_the_cosine_and_reach_it() -> None:
    data = batches(60, 64, 24)
    config = replace(CONFIG, steps=60, lr=0.02)
    start = init_weights(0, 24, 96)
    cosines = {
        name: (trained(replace(config, variant=variant), data).weights["W_dec"][0] * start).sum(1)
        for name, variant in {"soft": SoftFrozen(0.9), "free": Variant()}.items()
    }
    assert cosines["free"].min() < 0.8
    assert cosines["soft"].min() > 0.9 - 1e-5 and (cosines["soft"] < 0.9 + 1e-5).any()


def test_frozen_weights_stay_and_the_others_learn() -> None:
    data, start = batches(20, 64, 24), init_weights(0, 24, 96)
    for name, weight, other in (("frozen-decoder", "W_dec", "W_enc"), ("frozen-encoder", "W_enc", "W_dec")):
        stack = trained(replace(CONFIG, variant=find_variant(name, {})), data)
        assert torch.equal(stack.weights[weight][0], start)
        assert (stack.weights[other][0] - start).abs().max() > 1e-3
    assert not stack.weights["b_enc"].any()
