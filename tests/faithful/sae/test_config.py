"""Settings of a stack: what cannot be, schedules."""

from dataclasses import replace

from faithful.sae.config import Phase
from tests.faithful.sae.data import CONFIG, batches, stack_for


def test_schedules_are_fractions_and_reach_k_and_weights() -> None:
    config = replace(CONFIG, steps=10, schedule=lambda fraction: Phase(k=8 if fraction < 0.5 else 3, auxk=0.0))
    data = batches(10, 64, 24)
    stack = stack_for(config, data[0])
    seen = []
    for x in data:
        stack.step(x)
        row = stack.metrics()[0]
        seen.append((row["k"], row["l0"]))
    assert seen == [(8, 8.0)] * 5 + [(3, 3.0)] * 5
    assert stack.sae(0).k == 3
