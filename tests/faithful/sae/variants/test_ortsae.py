"""Within a chunk the nearest row counts; chunks are drawn anew."""

from dataclasses import replace

import pytest
import torch

from faithful.sae.codes import DenseCodes
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase
from faithful.sae.variants.ortsae import OrtSAE

ROWS = init_weights(0, 8, 30)
NOTHING = torch.zeros(())
BATCH = Batch(
    DenseCodes(torch.zeros(4, 30)), torch.zeros(4, 8), torch.zeros(4, 8), NOTHING, ROWS, torch.zeros(30), ROWS,
    Phase(2, 0.0), 3, 10, 5, NOTHING,
)  # fmt: skip


def test_one_chunk_is_the_definition() -> None:
    cosines = (ROWS @ ROWS.T).fill_diagonal_(0)
    wanted = cosines.square().amax(1).mean()
    assert float(OrtSAE(chunk=30).objective(BATCH, {})) == pytest.approx(float(wanted), rel=1e-5)


def test_chunks_depend_on_cell_and_step_alone() -> None:
    variant = OrtSAE(chunk=7)
    first = float(variant.objective(BATCH, {}))
    assert first == float(variant.objective(BATCH, {}))
    assert first != float(variant.objective(replace(BATCH, step=4), {}))
    assert first != float(variant.objective(replace(BATCH, seed=6), {}))
    assert first < float(OrtSAE(chunk=30).objective(BATCH, {}))
