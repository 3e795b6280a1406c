"""AuxK, held against its definition by autograd."""

import pytest
import torch

from faithful.sae.auxk import DeadLatents, revive, spread


@pytest.mark.parametrize("k", [2, 5, 9])
def test_loss_and_gradients_are_those_of_the_definition(k: int) -> None:
    """… of the residual, held constant, rebuilt by the k strongest dead latents; k beyond their number takes all."""
    generator = torch.Generator().manual_seed(0)
    x, d_sae, dead, weight = torch.randn(40, 6, generator=generator), 12, torch.tensor([1, 3, 4, 8, 11]), 0.03
    error = torch.randn(40, 6, generator=generator)
    rows_enc, b_enc = torch.randn(d_sae, 6, generator=generator), torch.randn(d_sae, generator=generator)
    W_dec = torch.nn.functional.normalize(torch.randn(d_sae, 6, generator=generator), dim=1)
    leaves = [tensor[dead].clone().requires_grad_() for tensor in (rows_enc, b_enc, W_dec)]
    scores = x @ leaves[0].T + leaves[1]
    best = scores.topk(min(k, len(dead)), dim=1)
    codes = torch.zeros_like(scores).scatter(1, best.indices, best.values.relu())
    residual = -error
    loss = (residual - codes @ leaves[2]).square().sum() / (residual - residual.mean(0)).square().sum()
    (weight * loss).backward()
    found = revive(DeadLatents(dead, scores.detach().clone()), W_dec, error, x, k, weight, lambda a, b: a @ b)
    assert float(found.loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert found.latents is dead
    for mine, leaf in zip((found.rows_enc, found.b_enc, found.rows_dec), leaves, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-4, atol=1e-6)


def test_spread_is_about_the_mean_and_never_zero() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert float(spread(x)) == pytest.approx(2.0)
    assert float(spread(torch.ones(4, 3))) > 0
