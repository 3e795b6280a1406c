"""SAEs with a threshold per latent."""

import pytest
import torch
from torch import Tensor

from faithful.sae import threshold as module
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE


def test_threshold_codes(x: Tensor, sae: TopKSAE) -> None:
    threshold = torch.linspace(0, 3, 50)
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, threshold, {})
    scores = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    torch.testing.assert_close(jump.encode(x), torch.where(scores > threshold, scores, 0.0))
    assert jump.k is None
    torch.testing.assert_close(jump.to(dtype=torch.float64).encode(x).float(), jump.encode(x))


@pytest.mark.parametrize("entries", [60, 2**25])
def test_sparse_codes_are_the_codes_however_they_are_cut(
    x: Tensor, sae: TopKSAE, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCORES", entries)
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.full((50,), 1.5))
    x = x.clone()
    x[0, 3] = sae.b_dec  # nothing fires
    values, latents = jump.encode_sparse(x)
    assert (values >= 0).all() and values.shape == latents.shape
    torch.testing.assert_close(torch.zeros_like(jump.encode(x)).scatter_add_(-1, latents, values), jump.encode(x))
    assert values.shape[-1] == int((jump.encode(x) > 0).sum(-1).max())
    torch.testing.assert_close(jump.decode_sparse(values, latents), jump.reconstruct(x))
