"""The sparse products are the dense ones, and the selection is exact."""

import pytest
import torch

from faithful.sae.sparse import bag_sums, bag_sums_csr, by_latent, decode, row_dots, scalar_sums, tokens_of, top_k


@pytest.mark.parametrize(("width", "k"), [(1024, 16), (1031, 7), (77, 2), (64, 1), (40, 40), (300, 60), (9, 3)])
def test_top_k_is_exact(width: int, k: int) -> None:
    generator = torch.Generator().manual_seed(width)
    scores = torch.randn(50, width, generator=generator)
    values, columns = top_k(scores, k)
    assert torch.equal(scores.gather(1, columns), values)
    assert torch.equal(values.sort(1).values, scores.topk(k, 1).values.sort(1).values)
    assert all(len(set(row)) == k for row in columns.tolist())


def test_top_k_with_ties_picks_different_columns() -> None:
    scores = torch.randint(0, 3, (200, 515), generator=torch.Generator().manual_seed(0)).float()
    values, columns = top_k(scores, 12)
    assert torch.equal(scores.gather(1, columns), values)
    assert torch.equal(values.sort(1).values, scores.topk(12, 1).values.sort(1).values)
    assert all(len(set(row)) == 12 for row in columns.tolist())


def test_top_k_finds_what_lies_in_one_group_and_in_the_rest() -> None:
    scores = torch.zeros(1, 1031)
    wanted = [5, 5 + 128, 5 + 256, 5 + 384, 1030, 1024]
    scores[0, wanted] = torch.arange(1.0, 7.0)
    assert sorted(top_k(scores, 6)[1][0].tolist()) == sorted(wanted)


@pytest.fixture
def problem() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    tokens, d_sae, d_in, k = 37, 61, 13, 5
    latents = torch.rand(tokens, d_sae, generator=generator).topk(k, 1).indices.clamp_max(50)
    latents[:, 1:] = torch.where(latents[:, 1:] == latents[:, :1], 55, latents[:, 1:])
    values = torch.randn(tokens, k, generator=generator)
    rows, x = torch.randn(d_sae, d_in, generator=generator), torch.randn(tokens, d_in, generator=generator)
    dense = torch.zeros(tokens, d_sae).scatter_add_(1, latents, values)
    return latents, values, rows, x, dense


def test_products_equal_dense_ones(problem: tuple[torch.Tensor, ...]) -> None:
    latents, values, rows, x, dense = problem
    torch.testing.assert_close(decode(values, latents, rows), dense @ rows)
    flat, starts = latents.flatten(), torch.arange(0, latents.numel() + 1, latents.shape[1])
    torch.testing.assert_close(row_dots(x, rows, flat, starts).view_as(values), (x @ rows.T).gather(1, latents))
    torch.testing.assert_close(bag_sums(flat, starts, values.flatten(), rows), dense @ rows)
    codes = by_latent(flat, starts, len(rows))
    weights = values.flatten()[codes.order]
    for sums in (bag_sums, bag_sums_csr):
        torch.testing.assert_close(sums(codes.tokens, codes.starts, weights, x), dense.T @ x)
    torch.testing.assert_close(scalar_sums(codes.starts, weights), dense.sum(0))


def test_codes_by_latent_keep_the_order_of_tokens(problem: tuple[torch.Tensor, ...]) -> None:
    latents = problem[0]
    codes = by_latent(latents.flatten(), torch.arange(0, latents.numel() + 1, 5), 61)
    for latent in (0, 17, 50, 60):
        tokens = codes.tokens[codes.starts[latent] : codes.starts[latent + 1]].tolist()
        assert tokens == [n for n, row in enumerate(latents.tolist()) for found in row if found == latent]


def test_the_token_of_each_code() -> None:
    assert tokens_of(torch.tensor([0, 2, 2, 5]), 5).tolist() == [0, 0, 2, 2, 2]
