"""When groups are found, and that too many are refused."""

from dataclasses import replace

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.sae.parts.grouped import GROUPING, Grouped
from tests.faithful.sae.data import CONFIG, batches, stack_for


def test_latents_are_grouped_at_four_points_and_in_between_they_stay() -> None:
    data = batches(40, 64, 24)
    stack = stack_for(replace(CONFIG, steps=40, variant=Grouped(groups=5)), data[0])
    changed, before = [], stack.states[0]["groups"].clone()
    for step, x in enumerate(data):
        stack.step(x)
        if not torch.equal(before, stack.states[0]["groups"]):
            changed.append(step)
        before = stack.states[0]["groups"].clone()
    assert changed == [int(share * 40) for share in GROUPING]
    assert set(before.tolist()) <= {-1, 0, 1, 2, 3, 4} and (before >= 0).sum() > 60


def test_more_groups_than_latents_are_refused() -> None:
    with pytest.raises(FaithfulError, match="96 latents do not make 97 groups; use fewer"):
        replace(CONFIG, variant=Grouped(groups=97))
