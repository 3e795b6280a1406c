"""The price follows the number of latents that fire."""

from dataclasses import replace

import pytest

from faithful.sae.variants.standard import Standard
from tests.faithful.sae.data import CONFIG, batches, stack_for


@pytest.mark.parametrize("k", [3, 8])
def test_as_many_latents_fire_in_the_end_as_k_asks_for(k: int) -> None:
    data = batches(400, 64, 24)
    stack = stack_for(replace(CONFIG, steps=400, lr=5e-3, k=k, variant=Standard()), data[0])
    for x in data[:360]:
        stack.step(x)
    stack.metrics()
    for x in data[360:]:
        stack.step(x)
    assert stack.metrics()[0]["l0"] == pytest.approx(k, rel=0.15)
    assert stack.report(0)["price"] > 0.1


def test_without_control_the_price_stays() -> None:
    data = batches(20, 64, 24)
    stack = stack_for(replace(CONFIG, variant=Standard(price=0.02, rate=0.0, damping=0.0)), data[0])
    for x in data:
        stack.step(x)
    assert stack.report(0)["price"] == pytest.approx(0.02)
    row = stack.metrics()[0]
    assert row["l0"] > 20 and row["loss"] == pytest.approx(row["fvu"] + row["objective"], rel=1e-5)
