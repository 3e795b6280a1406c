"""Nested reconstructions, held against autograd."""

import torch

from faithful.sae.codes import DenseCodes, Gradients, SparseCodes
from faithful.sae.nested import nested
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase


def test_loss_and_gradients_are_those_of_the_mean_over_prefixes() -> None:
    generator = torch.Generator().manual_seed(0)
    x, rows = torch.randn(30, 8, generator=generator), init_weights(0, 8, 24)
    dense = torch.rand(30, 24, generator=generator)
    dense[dense < 0.8] = 0
    extra = torch.randn(30, 24, generator=generator)
    values, W_dec = dense.clone().requires_grad_(), rows.clone().requires_grad_()
    variance, borders = torch.tensor(17.0), (6, 12, 24)
    wanted = torch.stack([(x - values[:, :m] @ W_dec[:m]).square().sum() / variance for m in borders]).mean()
    (wanted + (extra * values).sum()).backward()
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (dense > 0).sum(1).cumsum(0)])
    listed = SparseCodes(dense[dense > 0], dense.nonzero()[:, 1], starts)
    for codes, more in ((listed, extra[dense > 0]), (DenseCodes(dense), extra)):
        into = Gradients(torch.empty(24, 8), torch.empty(24, 8), add=False, tangent=False, atomics=False)
        error = dense @ rows - x
        batch = Batch(codes, x, error, variance, rows, torch.zeros(24), rows, Phase(4, 0.0), 0, 1, 0, torch.zeros(()))
        d_b_enc, d_out, loss = nested(batch, borders, more, into)
        torch.testing.assert_close(loss, wanted.detach())
        d_codes = values.grad * (dense > 0)
        torch.testing.assert_close(d_b_enc, d_codes.sum(0))
        torch.testing.assert_close(into.d_enc, d_codes.T @ x)
        torch.testing.assert_close(into.d_dec, W_dec.grad)
        parts = [2 * (dense[:, :m] @ rows[:m] - x) / (3 * variance) for m in borders]
        torch.testing.assert_close(d_out, torch.stack(parts).sum(0))
