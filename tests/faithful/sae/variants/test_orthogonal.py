"""The penalty rises, presses groups apart, and ends where they degenerate."""

from dataclasses import replace

import pytest
import torch

from faithful.sae.variants.orthogonal import Orthogonal
from tests.faithful.sae.data import CONFIG, batches, trained

DATA = batches(100, 64, 24)


def test_the_weight_rises_over_the_ramp() -> None:
    weights = [Orthogonal(weight=0.5, ramp=0.2).phase(done, 4, 0.0).objective for done in (0.0, 0.1, 0.2, 0.9)]
    assert weights == pytest.approx([0, 0.25, 0.5, 0.5], abs=1e-6)


def test_rows_are_pressed_apart() -> None:
    def overlap(weight: float) -> float:
        variant = Orthogonal(weight=weight, alpha=0.0, groups=6)
        rows = trained(replace(CONFIG, steps=100, lr=5e-3, variant=variant), DATA).weights["W_dec"][0]
        return float((rows @ rows.T).fill_diagonal_(0).square().mean())

    assert overlap(1.0) < 0.8 * overlap(0.0)


def test_it_ends_where_groups_are_degenerate() -> None:
    reports = [
        trained(replace(CONFIG, steps=100, lr=5e-3, variant=Orthogonal(groups=12, stop=stop)), DATA).report(0)
        for stop in (0.01, 1e6)
    ]
    assert [report["pressed"] for report in reports] == [0.0, 1.0]
    assert all(report["condition_over_edge"] > 0 for report in reports)


def test_groups_may_have_one_bias() -> None:
    made = trained(replace(CONFIG, steps=100, lr=5e-3, variant=Orthogonal(groups=6, one_bias=True)), DATA)
    groups, biases = made.states[0]["groups"], made.weights["b_enc"][0]
    found = [biases[groups == group] for group in range(6)]
    assert all(float(of.max() - of.min()) < 1e-6 for of in found) and max(map(len, found)) > 3
    assert len({round(float(of[0]), 6) for of in found}) > 1
    alone = biases[groups < 0]
    assert not len(alone) or not bool(torch.isin(alone, biases[groups >= 0]).all())
    plain = trained(replace(CONFIG, steps=100, lr=5e-3, variant=Orthogonal(groups=6)), DATA)
    assert float(plain.weights["b_enc"][0][plain.states[0]["groups"] == 0].std()) > 1e-4
