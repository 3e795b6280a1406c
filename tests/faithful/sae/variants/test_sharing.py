"""What may be shared follows from the error."""

import pytest
import torch

from faithful.sae.codes import DenseCodes
from faithful.sae.parts.overlaps import excess_overlap
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase, Weights
from faithful.sae.variants.sharing import Sharing

ROWS, GROUPS = init_weights(0, 8, 30), torch.arange(30) % 3


def seen(fvu: float, step: int = 0, steps: int = 9) -> Batch:
    zeros = torch.zeros(4, 8)
    return Batch(
        DenseCodes(torch.zeros(4, 30)), zeros, zeros, torch.ones(()), ROWS, torch.zeros(30), ROWS, Phase(2, 0.0), step, steps,
        0, torch.tensor(fvu),
    )  # fmt: skip


@pytest.mark.parametrize(("fvu", "weight", "alpha"), [(0.5, 0, 0), (0.24, 0.2, 0), (0.15, 0.5, 0.1), (0.03, 0.9, 0.2)])
def test_one_threshold_gives_the_weight_and_what_relatives_may_share(fvu: float, weight: float, alpha: float) -> None:
    found = Sharing(theta=0.3, alpha=0.2).objective(seen(fvu), {"groups": GROUPS})
    wanted = weight * excess_overlap(ROWS, GROUPS, alpha, torch.arange(30))
    assert float(found) == pytest.approx(float(wanted), rel=1e-4, abs=1e-9)


def test_a_relative_threshold_is_of_the_error_when_groups_are_first_found() -> None:
    """0.8 at the tenth of 200 steps; before it nothing is paid."""
    variant = Sharing(theta=0.5, alpha=0.2, relative=True)
    state = variant.begin(Weights(ROWS, torch.zeros(30), ROWS, torch.zeros(8)))
    assert float(variant.objective(seen(0.01, 3, 200), state)) == 0
    for step, fvu in ((0, 1.0), (10, 0.8), (11, 0.1)):
        variant.observe(seen(fvu, step, 200), state)
    state["groups"].copy_(GROUPS)
    found = variant.objective(seen(0.2, 50, 200), state)
    wanted = 0.5 * excess_overlap(ROWS, GROUPS, 0.1, torch.arange(30))
    assert float(found) == pytest.approx(float(wanted), rel=1e-4) and "early" not in Sharing().begin(
        Weights(ROWS, torch.zeros(30), ROWS, torch.zeros(8))
    )
