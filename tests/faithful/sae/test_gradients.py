"""Gradients of rows from sorted codes."""

import pytest
import torch

from faithful.sae.gradients import Backward, row_gradients
from faithful.sae.sparse import by_latent
from faithful.sae.stack import init_weights


@pytest.mark.parametrize("add", [False, True])
def test_row_gradients_with_and_without_atomics_are_the_transposed_products(add: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.rand(40, 61, generator=generator).topk(5, 1).indices
    d_values, values = torch.randn(2, 40, 5, generator=generator)
    centred, d_out = torch.randn(2, 40, 13, generator=generator)
    rows, before, more = init_weights(0, 13, 61), *torch.randn(2, 61, 13, generator=generator)
    codes = by_latent(latents, 61)
    back = Backward(codes, d_values.flatten()[codes.order], values.flatten()[codes.order], centred, d_out)
    encoder, decoder = (torch.zeros(40, 61).scatter(1, latents, weights) for weights in (d_values, values))
    full = decoder.T @ d_out + (more if add else 0)
    for atomics in (False, True):
        d_enc, d_dec = before.clone(), more.clone()
        row_gradients(back, rows, d_enc, d_dec, add=add, atomics=atomics)
        torch.testing.assert_close(d_enc, encoder.T @ centred + (before if add else 0))
        torch.testing.assert_close(d_dec, full - (full * rows).sum(1, keepdim=True) * rows)
