"""Exact sparse products of TopK codes: only rows of active latents are touched, and every sum has a fixed order.

N tokens, k codes per token, F latents, d dimensions. No product ever holds an [N, k, d] tensor.
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


def row_dots(x: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
    """Scalar products x[n] · rows[indices[n, j]].

    Args:
        x: [N, d].
        rows: [F, d].
        indices: [N, k], int64.

    Returns:
        [N, k].
    """
    starts = torch.arange(0, indices.numel() + 1, indices.shape[1], device=x.device)
    pattern = _csr(starts, indices.flatten(), x.new_zeros(indices.numel()), (len(x), len(rows)))
    return torch.sparse.sampled_addmm(pattern, x, rows.T, beta=0.0).values().view(indices.shape)


class ByLatent(NamedTuple):
    """Codes sorted by latent, by token within a latent.

    Attributes:
        order: [N·k], place of each sorted code in the flattened codes.
        tokens: [N·k], its token.
        starts: [F + 1], where each latent's codes begin.
    """

    order: Tensor
    tokens: Tensor
    starts: Tensor


def by_latent(indices: Tensor, d_sae: int) -> ByLatent:
    """Sort codes [N, k] by latent."""
    latents, order = torch.sort(indices.flatten(), stable=True)
    starts = torch.searchsorted(latents, torch.arange(d_sae + 1, device=indices.device))
    return ByLatent(order, torch.div(order, indices.shape[1], rounding_mode="floor"), starts)


def latent_sums(tokens: Tensor, starts: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """Sums over each latent's codes of weight · x[token]: the transpose of `decode`, in fixed order.

    Args:
        tokens: [C], the codes' tokens, sorted by latent.
        starts: [L + 1], where each latent's codes begin.
        weights: [C].
        x: [N, d].

    Returns:
        [L, d], zero for latents without a code.
    """
    return embedding_bag(tokens, x, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


def latent_sums_csr(tokens: Tensor, starts: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """The same by the library's sparse product: on a GPU it balances long rows with atomics, in no fixed order."""
    return torch.sparse.mm(_csr(starts, tokens, weights, (len(starts) - 1, len(x))), x)


def scalar_sums(starts: Tensor, weights: Tensor) -> Tensor:
    """Sums over each latent's codes of their weights: [C] → [L]."""
    return torch.segment_reduce(weights, "sum", offsets=starts, initial=0.0)


def _csr(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)
