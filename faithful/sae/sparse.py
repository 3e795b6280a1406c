"""Exact sparse products of codes: only rows of active latents are touched, and every sum has a fixed order.

N tokens, C codes in the order of their tokens, F latents, d dimensions. `starts` [N + 1] says where each token's codes begin.
No product ever holds a [C, d] tensor.
"""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

GROUP = 8
GROUPS_PER_K = 4


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest entries of each row, exactly, in no order.

    The k groups with the largest maxima hold the k largest entries, so only their members are ranked.

    Args:
        scores: [N, F], any float type.
        k: at most F.

    Returns:
        Values [N, k] and column indices [N, k] (int64).
    """
    groups = scores.shape[1] // GROUP
    if groups < GROUPS_PER_K * k:
        found = scores.topk(k, dim=1, sorted=False)
        return found.values, found.indices
    grouped = groups * GROUP
    members = scores[:, :grouped].unflatten(1, (GROUP, groups))
    best = members.amax(1).topk(k, dim=1, sorted=False).indices
    candidates = members.gather(2, best[:, None, :].expand(-1, GROUP, -1)).flatten(1)
    rest = scores[:, grouped:]
    values, place = torch.cat([candidates, rest], 1).topk(k, dim=1, sorted=False)
    member = torch.div(place, k, rounding_mode="floor") * groups + best.gather(1, place % k)
    return values, torch.where(place < GROUP * k, member, place - GROUP * k + grouped)


def decode(values: Tensor, indices: Tensor, rows: Tensor) -> Tensor:
    """Weighted sums of rows: Σ_j values[n, j] · rows[indices[n, j]].

    Args:
        values: [N, k].
        indices: [N, k], int64.
        rows: [F, d], of the type of `values`.

    Returns:
        [N, d].
    """
    return embedding_bag(indices, rows, mode="sum", per_sample_weights=values)


def bag_sums(indices: Tensor, starts: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """Sums over each bag of weight · rows[index], in fixed order: tokens' sums of latents' rows, or the transpose of it.

    Args:
        indices: [C], int64, bag after bag.
        starts: [B + 1], where each bag begins.
        weights: [C].
        rows: [R, d].

    Returns:
        [B, d], zero for empty bags.
    """
    return embedding_bag(indices, rows, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


def bag_sums_csr(indices: Tensor, starts: Tensor, weights: Tensor, rows: Tensor) -> Tensor:
    """The same by the library's sparse product: on a GPU it balances long bags with atomics, in no fixed order."""
    return torch.sparse.mm(_csr(starts, indices, weights, (len(starts) - 1, len(rows))), rows)


def row_dots(x: Tensor, rows: Tensor, latents: Tensor, starts: Tensor) -> Tensor:
    """Scalar products [C] of each code's token x[n] with its latent's row.

    Args:
        x: [N, d].
        rows: [F, d].
        latents: [C], int64.
        starts: [N + 1].
    """
    pattern = _csr(starts, latents, x.new_zeros(len(latents)), (len(x), len(rows)))
    return torch.sparse.sampled_addmm(pattern, x, rows.T, beta=0.0).values()


class ByLatent(NamedTuple):
    """Codes sorted by latent, by token within a latent.

    Attributes:
        order: [C], place of each sorted code among the codes.
        tokens: [C], its token.
        starts: [F + 1], where each latent's codes begin.
    """

    order: Tensor
    tokens: Tensor
    starts: Tensor


def by_latent(latents: Tensor, starts: Tensor, d_sae: int) -> ByLatent:
    """Sort codes [C] by latent."""
    ordered, order = torch.sort(latents, stable=True)
    borders = torch.searchsorted(ordered, torch.arange(d_sae + 1, device=latents.device))
    return ByLatent(order, tokens_of(starts, len(latents))[order], borders)


def tokens_of(starts: Tensor, count: int) -> Tensor:
    """The token of each of `count` codes: [N + 1] → [C]."""
    tokens = torch.arange(len(starts) - 1, device=starts.device)
    return tokens.repeat_interleave(starts.diff(), output_size=count)


def scalar_sums(starts: Tensor, weights: Tensor) -> Tensor:
    """Sums over each latent's codes of their weights: [C] → [L]."""
    return torch.segment_reduce(weights, "sum", offsets=starts, initial=0.0)


def _csr(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)
