"""TopK codes."""

import pytest
import torch
from torch import Tensor

from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE


def dense(sae: TopKSAE, x: Tensor) -> Tensor:
    """The definition, written out."""
    scores = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    best = scores.topk(sae.k, -1)
    return torch.zeros_like(scores).scatter(-1, best.indices, best.values.relu())


def test_codes_are_what_the_definition_says(sae: TopKSAE, x: Tensor) -> None:
    values, latents = sae.encode_sparse(x)
    assert values.shape == latents.shape == (2, 9, 4)
    assert (values >= 0).all()
    torch.testing.assert_close(sae.encode(x), dense(sae, x))
    expected = dense(sae, x) @ sae.W_dec + sae.b_dec
    torch.testing.assert_close(sae.reconstruct(x), expected)
    torch.testing.assert_close(sae.decode(sae.encode(x)), expected)
    torch.testing.assert_close(sae.decode_sparse(values, latents), expected)
    torch.testing.assert_close(sae.to(dtype=torch.float64).reconstruct(x).float(), expected)
    assert (sae.d_in, sae.d_sae, sae.hook_name) == (12, 50, None)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_tokens_have_no_codes(sae: TopKSAE, x: Tensor, shape: tuple[int, ...]) -> None:
    nothing = x.new_zeros(*shape, sae.d_in)
    jump = ThresholdSAE(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, torch.ones(sae.d_sae))
    for one in (sae, jump):
        assert one.encode(nothing).shape == (*shape, sae.d_sae)
        assert one.decode_sparse(*one.encode_sparse(nothing)).shape == nothing.shape
