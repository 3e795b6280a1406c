"""Rows without a length of 1 shrink where nothing holds them."""

from dataclasses import replace

from faithful.sae.variants.l2 import L2
from tests.faithful.sae.data import CONFIG, batches, trained


def test_rows_leave_length_one_and_decay_with_the_weight() -> None:
    data = batches(40, 64, 24)
    weak, strong = (
        trained(replace(CONFIG, steps=40, lr=5e-3, variant=L2(weight)), data).weights["W_dec"][0].norm(dim=1)
        for weight in (0.0, 1e-2)
    )
    assert (weak - 1).abs().max() > 0.01
    assert strong.mean() < weak.mean() - 0.02
