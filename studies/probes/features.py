"""What probes read: activations, codes and reconstructions pooled over the tokens of each text, in one pass of the model.

Padding, BOS and other special tokens are left out of every pool: masks go to the model and to the pooling alike.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.progress import Tally, uncounted
from faithful.hooks.padding import length_buckets, pad
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from generation.external.encoder import Encoder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ROWS_PER_FORWARD = 32
SPARSE = 0.4

Rows = Sequence[np.ndarray]
BatchPools = tuple[np.ndarray, list[Any], list[np.ndarray]]
"""Of one batch: activations, and of each SAE codes and reconstructions; see `Pooled`."""


@dataclass(frozen=True)
class Pooled:
    """Features of texts.

    Attributes:
        h: activations, float32 [texts, d_in].
        codes: of each SAE, float32 [texts, d_sae]; a scipy.sparse CSR matrix where that is smaller.
        rebuilt: reconstructions of each SAE, float32 [texts, d_in].
    """

    h: np.ndarray
    codes: list[Any]
    rebuilt: list[np.ndarray]

    def of(self, sae: int) -> "dict[str, np.ndarray | csr_matrix]":
        """What probes read of an SAE."""
        return {"f": self.codes[sae], "h_hat": self.rebuilt[sae]}


def text_rows(texts: Sequence[str], encoder: Encoder, bos_id: int) -> list[np.ndarray]:
    """Contexts of texts: BOS and the first tokens, int64 [≤ context]; no end-of-text is appended."""
    rows = []
    for ids, closed in encoder.encode(list(texts)):
        body = ids[:-1] if closed else ids
        rows.append(np.concatenate([[bos_id], body]).astype(np.int64))
    return rows


def pool_features(
    rows: Sequence[np.ndarray],
    d_in: int,
    widths: Sequence[int],
    pools: Callable[[Sequence[Rows]], Iterable[tuple[int, BatchPools]]],
    report: Tally = uncounted,
) -> Pooled:
    """Features of contexts for all SAEs, from one forward pass.

    Codes are pooled as they come: beside what is returned, a batch of contexts is held with the codes of one SAE.
    A context without an ordinary token has features of 0.

    Args:
        rows: int64 [≤ context] each, BOS first.
        d_in: dimensions of the activations.
        widths: number of latents of each SAE.
        pools: makes `pool_batch` of batches of contexts, here or elsewhere, and gives the place of each and what came of it
            in any order.
        report: contexts done, and in all.
    """
    batches = list(length_buckets(rows, ROWS_PER_FORWARD))
    texts: list[Rows] = [[rows[place] for place in places] for places in batches]
    h = np.zeros((len(rows), d_in), np.float32)
    rebuilt = [np.zeros_like(h) for _ in widths]
    codes = [_Rows(len(rows), width) for width in widths]
    done = 0
    for at, (hidden, coded, built) in _first_first(pools(texts)):
        places = batches[at]
        h[places] = hidden
        for of_sae, piece, filled, one in zip(codes, coded, rebuilt, built, strict=True):
            of_sae.put(places, piece)
            filled[places] = one
        done += len(places)
        report(done, len(rows))
    return Pooled(h, [of_sae.matrix() for of_sae in codes], rebuilt)


@torch.no_grad()
def pool_batch(
    model: TruncatedModel, saes: Sequence[Autoencoder], rows: Rows, ordinary: np.ndarray, pooling: str
) -> BatchPools:
    """The same of one batch of contexts: activations, codes (sparse where that is smaller) and reconstructions.

    Args:
        model: up to the hook.
        saes: at that hook.
        rows: int64 [≤ context] each, BOS first.
        ordinary: bool [vocab], False for special ids.
        pooling: one of `POOLINGS`; `last` is of the last token.
    """
    device = model.device
    ids, real = pad(rows)
    hidden = model(torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device).long())
    kept = torch.from_numpy(real & ordinary[ids]).to(device)
    if pooling == "last":
        kept = kept & (kept.flip(1).cumsum(1).flip(1) == 1)
    owners = torch.arange(len(rows), device=device).repeat_interleave(kept.sum(1))
    tokens = hidden[kept]
    codes, rebuilt = [], []
    for sae in saes:
        sae = sae.to(device=device)
        values, latents = sae.encode_sparse(tokens)
        f = _pool_sparse(values.float(), latents, owners, len(rows), sae.d_sae, pooling)
        codes.append(_compact(f.cpu().numpy()))
        if pooling == "max":
            back = decode(values, latents, sae.W_dec) + sae.b_dec
            rebuilt.append(_pool(back.float(), owners, len(rows), pooling).cpu().numpy())
        else:
            empty = (kept.sum(1) == 0)[:, None]
            rebuilt.append(sae.decode(f).float().masked_fill(empty, 0).cpu().numpy())
    return _pool(tokens, owners, len(rows), pooling).cpu().numpy(), codes, rebuilt


def with_bos(x: Any, of_bos: np.ndarray, counts: np.ndarray) -> Any:
    """Means over tokens with BOS as one more of them.

    Args:
        x: means over the ordinary tokens of each text, [texts, d], dense or sparse.
        of_bos: what BOS has, [d]; as it begins every context, it is the same for all.
        counts: ordinary tokens of each text, int64 [texts].
    """
    from scipy.sparse import csr_matrix, diags, issparse

    share = (1 / (counts + 1)).astype(np.float32)
    if issparse(x):
        return csr_matrix(diags(1 - share) @ x + csr_matrix(share[:, None]) @ csr_matrix(of_bos[None]))
    return x * (1 - share)[:, None] + share[:, None] * of_bos


def _first_first(pools: Iterable[tuple[int, BatchPools]]) -> Iterator[tuple[int, BatchPools]]:
    """The batch of the longest contexts first: it decides how codes are kept."""
    before: list[tuple[int, BatchPools]] | None = []
    for at, found in pools:
        if before is None or at == 0:
            yield at, found
            yield from before or ()
            before = None
        else:
            before.append((at, found))


def _compact(rows: np.ndarray) -> Any:
    """Rows as they are, or as a sparse matrix where few numbers are none."""
    from scipy.sparse import csr_matrix

    return rows if np.count_nonzero(rows) >= SPARSE * rows.size else csr_matrix(rows)


def _pool(tokens: Tensor, owners: Tensor, count: int, pooling: str) -> Tensor:
    """Tokens [t, d] of `count` texts pooled, [count, d]; 0 for texts without tokens."""
    found = tokens.new_zeros(count, tokens.shape[1])
    if pooling == "max":
        return found.scatter_reduce_(0, owners[:, None].expand_as(tokens), tokens, "amax", include_self=False)
    share = owners.bincount(minlength=count).clamp(min=1)
    return found.index_add_(0, owners, tokens) / share[:, None]


def _pool_sparse(values: Tensor, latents: Tensor, owners: Tensor, count: int, d_sae: int, pooling: str) -> Tensor:
    """Codes [t, k'] (≥ 0) of `count` texts pooled, [count, d_sae]."""
    found = values.new_zeros(count * d_sae)
    places = (owners[:, None] * d_sae + latents).flatten()
    if pooling == "max":
        return found.scatter_reduce_(0, places, values.flatten(), "amax").view(count, d_sae)
    share = owners.bincount(minlength=count).clamp(min=1)
    return found.scatter_add_(0, places, (values / share[owners, None]).flatten()).view(count, d_sae)


class _Rows:
    """Rows of a matrix as they come: sparse where the first ones, of the longest texts, are."""

    def __init__(self, count: int, width: int) -> None:
        self.shape = (count, width)
        self._dense: np.ndarray | None = None
        self._places: list[np.ndarray] = []
        self._pieces: list[Any] = []

    def put(self, places: np.ndarray, rows: Any) -> None:
        from scipy.sparse import csr_matrix, issparse

        if self._dense is None and not self._pieces and not issparse(rows):
            self._dense = np.zeros(self.shape, np.float32)
        if self._dense is not None:
            self._dense[places] = rows.toarray() if issparse(rows) else rows
            return
        self._places.append(places)
        self._pieces.append(csr_matrix(rows))

    def matrix(self) -> Any:
        from scipy.sparse import vstack

        if self._dense is not None:
            return self._dense
        return vstack(self._pieces, format="csr")[np.argsort(np.concatenate(self._places))]
