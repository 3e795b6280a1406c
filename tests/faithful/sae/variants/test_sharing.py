"""What may be shared follows from the error."""

import pytest
import torch

from faithful.sae.codes import DenseCodes
from faithful.sae.parts.overlaps import excess_overlap
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase
from faithful.sae.variants.sharing import Sharing

ROWS, GROUPS = init_weights(0, 8, 30), torch.arange(30) % 3


@pytest.mark.parametrize(("fvu", "weight", "alpha"), [(0.5, 0, 0), (0.24, 0.2, 0), (0.15, 0.5, 0.1), (0.03, 0.9, 0.2)])
def test_one_threshold_gives_the_weight_and_what_relatives_may_share(fvu: float, weight: float, alpha: float) -> None:
    zeros = torch.zeros(4, 8)
    batch = Batch(
        DenseCodes(torch.zeros(4, 30)), zeros, zeros, torch.ones(()), ROWS, torch.zeros(30), ROWS, Phase(2, 0.0), 0, 9, 0,
        torch.tensor(fvu),
    )  # fmt: skip
    found = Sharing(theta=0.3, alpha=0.2).objective(batch, {"groups": GROUPS})
    wanted = weight * excess_overlap(ROWS, GROUPS, alpha, torch.arange(30))
    assert float(found) == pytest.approx(float(wanted), rel=1e-4, abs=1e-9)
