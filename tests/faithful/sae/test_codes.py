"""Codes as a list and as a matrix say the same, and what they give is what dense products give."""

import pytest
import torch
from torch import Tensor

from faithful.sae.codes import Codes, DenseCodes, Gradients, SparseCodes
from faithful.sae.stack import init_weights

TOKENS, D_SAE, D_IN = 40, 61, 13


def both() -> tuple[SparseCodes, DenseCodes]:
    """The same codes: of another number in each token, none in one."""
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(TOKENS, D_SAE, generator=generator)
    dense[dense < 0.9] = 0
    dense[7] = 0
    places = dense.nonzero()
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (dense > 0).sum(1).cumsum(0)])
    return SparseCodes(dense[dense > 0], places[:, 1], starts), DenseCodes(dense)


@pytest.fixture(params=[0, 1], ids=["list", "matrix"])
def codes(request: pytest.FixtureRequest) -> Codes:
    return both()[request.param]


def of_matrix(codes: Codes, dense: Tensor) -> Tensor:
    """Numbers of a matrix where the codes have theirs."""
    return dense[both()[1].values > 0] if isinstance(codes, SparseCodes) else dense


def test_errors_dots_counts_and_the_matrix(codes: Codes) -> None:
    dense, rows = both()[1].values, init_weights(0, D_IN, D_SAE)
    x = torch.randn(TOKENS, D_IN, generator=torch.Generator().manual_seed(1))
    error = torch.empty_like(x)
    codes.error(rows, x, error)
    torch.testing.assert_close(error, dense @ rows - x)
    torch.testing.assert_close(codes.dots(x, rows), of_matrix(codes, x @ rows.T))
    assert torch.equal(codes.counts(D_SAE), (dense > 0).sum(0))
    assert torch.equal(codes.dense(D_SAE), dense)
    torch.testing.assert_close(codes.energies(D_SAE), dense.square().sum(0))
    for block, blocks in ((1, 40), (16, 2)):
        wanted = (dense[: block * blocks] > 0).unflatten(0, (-1, block)).any(1)
        assert torch.equal(codes.fired_in(block, D_SAE), wanted)
    assert torch.equal(codes.of_values(2 * codes.values).dense(D_SAE), 2 * dense)


def test_a_range_of_latents(codes: Codes) -> None:
    dense = both()[1].values
    part, places = codes.of(slice(10, 30))
    assert torch.equal(part.dense(20), dense[:, 10:30])
    assert torch.equal(codes.values[places].flatten(), part.values.flatten())


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("tangent", [False, True])
def test_gradients_of_rows_are_the_transposed_products(codes: Codes, add: bool, tangent: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    dense, rows = both()[1].values, init_weights(0, D_IN, D_SAE)
    d_dense = torch.randn(TOKENS, D_SAE, generator=generator) * (dense > 0)
    centred, d_out = torch.randn(2, TOKENS, D_IN, generator=generator)
    before, more = torch.randn(2, D_SAE, D_IN, generator=generator)
    full = dense.T @ d_out + (more if add else 0)
    wanted = full - (full * rows).sum(1, keepdim=True) * rows if tangent else full
    for atomics in (False, True):
        into = Gradients(before.clone(), more.clone(), add, tangent, atomics)
        biases = codes.backward(of_matrix(codes, d_dense), centred, d_out, rows, into)
        torch.testing.assert_close(biases, d_dense.sum(0))
        torch.testing.assert_close(into.d_enc, d_dense.T @ centred + (before if add else 0))
        torch.testing.assert_close(into.d_dec, wanted)
