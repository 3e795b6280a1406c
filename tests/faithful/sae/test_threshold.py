"""SAEs with a threshold per latent."""

import torch
from torch import Tensor

from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE


def test_threshold_codes(x: Tensor, sae: TopKSAE) -> None:
    threshold = torch.linspace(0, 3, 50)
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, threshold, {})
    scores = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    torch.testing.assert_close(jump.encode(x), torch.where(scores > threshold, scores, 0.0))
    assert jump.k is None
    torch.testing.assert_close(jump.to(dtype=torch.float64).encode(x).float(), jump.encode(x))
