"""What probes read: activations, codes and reconstructions pooled over the tokens of each text, in one pass of the model.

Padding, BOS and other special tokens are left out of every pool: masks go to the model and to the pooling alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.hooks.padding import like_lengths, pad
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from generation.external.encoder import Encoder
from studies.common.codes import sparse_codes

POOLINGS = ("mean", "last", "max")
ROWS_PER_FORWARD = 32
SPARSE = 0.4

Told = Callable[[int, int], None]


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


def text_rows(texts: Sequence[str], encoder: Encoder, bos_id: int) -> list[np.ndarray]:
    """Contexts of texts: BOS and the first tokens, int64 [≤ context]; no end-of-text is appended."""
    rows = []
    for ids, closed in encoder.encode(list(texts)):
        body = ids[:-1] if closed else ids
        rows.append(np.concatenate([[bos_id], body]).astype(np.int64))
    return rows


@torch.no_grad()
def pool_features(
    model: TruncatedModel,
    saes: Sequence[Autoencoder],
    rows: Sequence[np.ndarray],
    ordinary: np.ndarray,
    pooling: str = "mean",
    report: Told = lambda done, total: None,
) -> Pooled:
    """Features of contexts for all SAEs, from one forward pass.

    Codes are pooled as they come: beside what is returned, a batch of contexts is held with the codes of one SAE.
    A context without an ordinary token has features of 0.

    Args:
        model: up to the hook.
        saes: at that hook.
        rows: int64 [≤ context] each, BOS first.
        ordinary: bool [vocab], False for special ids.
        pooling: `mean`, `max` or `last` (token).
        report: contexts done, and in all.

    Raises:
        FaithfulError: another pooling.
    """
    if pooling not in POOLINGS:
        raise FaithfulError(f"'{pooling}' is no pooling; choose {', '.join(POOLINGS)}.")
    device, done = model.device, 0
    saes = [sae.to(device=device) for sae in saes]
    h = np.zeros((len(rows), model.d_in), np.float32)
    rebuilt = [np.zeros_like(h) for _ in saes]
    codes = [_Rows(len(rows), sae.d_sae) for sae in saes]
    for places in like_lengths(rows, ROWS_PER_FORWARD):
        ids, real = pad([rows[place] for place in places])
        hidden = model(torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device).long())
        kept = torch.from_numpy(real & ordinary[ids]).to(device)
        if pooling == "last":
            kept = kept & (kept.flip(1).cumsum(1).flip(1) == 1)
        owners = torch.arange(len(places), device=device).repeat_interleave(kept.sum(1))
        tokens = hidden[kept]
        h[places] = _pool(tokens, owners, len(places), pooling).cpu().numpy()
        for sae, built, coded in zip(saes, rebuilt, codes, strict=True):
            values, latents = sparse_codes(sae, tokens)
            f = _pool_sparse(values.float(), latents, owners, len(places), sae.d_sae, pooling)
            coded.put(places, f)
            if pooling == "max":
                back = decode(values, latents, sae.W_dec) + sae.b_dec
                built[places] = _pool(back.float(), owners, len(places), pooling).cpu().numpy()
            else:
                empty = (kept.sum(1) == 0)[:, None]
                built[places] = sae.decode(f).float().masked_fill(empty, 0).cpu().numpy()
        done += len(places)
        report(done, len(rows))
    return Pooled(h, [coded.matrix() for coded in codes], rebuilt)


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

    def put(self, places: np.ndarray, rows: Tensor) -> None:
        from scipy.sparse import csr_matrix

        if self._dense is None and not self._pieces and float((rows != 0).float().mean()) >= SPARSE:
            self._dense = np.zeros(self.shape, np.float32)
        if self._dense is not None:
            self._dense[places] = rows.cpu().numpy()
            return
        self._places.append(places)
        self._pieces.append(csr_matrix(rows.cpu().numpy()))

    def matrix(self) -> Any:
        from scipy.sparse import vstack

        if self._dense is not None:
            return self._dense
        return vstack(self._pieces, format="csr")[np.argsort(np.concatenate(self._places))]
