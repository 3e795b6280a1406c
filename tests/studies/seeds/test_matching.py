"""The exact assignment of decoders and its proof, against scipy's dense solver on easy, hard and degenerate decoders."""

import numpy as np
import pytest
import torch

from studies.common.codes import Codes
from studies.seeds.matching import Directions, match, panel_figures


def test_a_latent_that_does_not_vary_has_no_correlation() -> None:
    """Its variance is rounding noise."""
    rows = torch.eye(3)
    found = match(Directions(rows), Directions(rows))
    values = np.random.default_rng(0).random((997, 3))
    values[:, 1] = 0.1
    other = np.hstack([values[:, :1], values[:, 1:2], 1 - values[:, 2:]])
    latents = torch.arange(3).expand(997, -1).int()
    codes = tuple(Codes(torch.from_numpy(side).float(), latents, 3) for side in (values, other))
    figures = panel_figures(found.partners, None, (codes[0], codes[1]), (rows, rows), seed=0)
    assert figures["activation_correlation"] == pytest.approx(0, abs=1e-5)
