"""Codes of many SAEs from one forward pass, kept sparse and nothing lost."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from studies.common import codes
from studies.common.codes import activations_of, code_text

Model = Callable[[str], tuple[ModelSpec, Any]]


def dense(values: Tensor, latents: Tensor, d_sae: int) -> Tensor:
    return torch.zeros(len(values), d_sae).scatter_add_(1, latents.long(), values)


def saes(d_in: int) -> list[Autoencoder]:
    """One of a fixed and one of a free number of active latents."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(30, d_in, generator=generator), dim=1)
    zeros, threshold = torch.zeros(d_in), torch.full((30,), 0.8)
    return [
        TopKSAE(rows.T.contiguous(), torch.zeros(30), rows, zeros, 3),
        ThresholdSAE(rows.T.contiguous(), torch.zeros(30), rows, zeros, threshold, {}),
    ]


def test_tokens_are_those_of_their_contexts_without_special_ones(
    monkeypatch: pytest.MonkeyPatch, family_model: Model
) -> None:
    monkeypatch.setattr(codes, "ROWS_AT_ONCE", 2)
    spec, model = family_model("gpt2")
    truncated = TruncatedModel(model, Hook(1, "resid_pre"))
    rng = np.random.default_rng(0)
    rows = [np.concatenate([[spec.bos_id], rng.integers(20, 120, size)]) for size in (5, 2, 9)]
    ordinary = np.ones(spec.vocab_size, bool)
    ordinary[[spec.bos_id, int(rows[2][4])]] = False
    told: list[tuple[int, int]] = []
    found = code_text(truncated, saes(truncated.d_in), rows, ordinary, lambda *at: told.append(at))
    assert told == [(2, 3), (3, 3)]
    kept = sorted((row, at) for row, ids in enumerate(rows) for at, token in enumerate(ids) if ordinary[token])
    assert sorted(zip(found.owners.tolist(), found.positions.tolist(), strict=True)) == kept
    with torch.no_grad():
        for sae, coded in zip(saes(truncated.d_in), found.codes, strict=True):
            mine = dense(coded.values, coded.latents, 30)
            for place, (row, at) in enumerate(zip(found.owners, found.positions, strict=True)):
                h = truncated(torch.from_numpy(rows[row])[None])[0, at]
                torch.testing.assert_close(mine[place], sae.encode(h[None])[0], atol=1e-4, rtol=1e-4)
            assert coded.density == pytest.approx((mine > 0).double().mean(0).numpy())
    assert sum(len(owners) for owners, _, _ in activations_of(truncated, rows, ordinary)) == len(kept)
