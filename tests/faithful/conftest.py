"""A small TopK SAE and activations for it."""

import pytest
import torch
from torch import Tensor

from faithful.sae.topk import TopKSAE


@pytest.fixture
def sae() -> TopKSAE:
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(50, 12, generator=generator), dim=1)
    b_enc, b_dec = 0.1 * torch.randn(50, generator=generator), torch.randn(12, generator=generator)
    return TopKSAE(rows.T + 0.05 * torch.randn(12, 50, generator=generator), b_enc, rows, b_dec, 4, {"layer": 8})


@pytest.fixture
def x() -> Tensor:
    return 3 * torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(1))
