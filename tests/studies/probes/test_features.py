"""What probes read, pooled over the tokens of each text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import issparse

from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from generation.external.encoder import Encoder
from studies.common.panel import ordinary_ids
from studies.probes import features as probe_features
from studies.probes.config import POOLINGS
from studies.probes.features import Pooled, pool_batch, pool_features, text_rows
from tests.studies.probes.data import random_sae

Model = Callable[[str], tuple[ModelSpec, Any]]


def pooled(model: Model, family: str, texts: list[str], pooling: str = "mean") -> tuple[Pooled, Any]:
    spec, whole = model(family)
    encoder = Encoder(load_tokenizer(spec.source, None), spec, 31)
    truncated = TruncatedModel(whole, Hook(1, "resid_pre"))
    saes = [random_sae(truncated.d_in, 48, 3, 0), random_sae(truncated.d_in, 300, 2, 1)]
    rows = text_rows(texts, encoder, spec.bos_id)
    return features(truncated, saes, rows, ordinary_ids(spec), pooling), (truncated, saes, rows, spec)


def features(model: TruncatedModel, saes: list[Any], rows: list[Any], ordinary: np.ndarray, pooling: str) -> Pooled:
    """The batches last first, but for the first: they may come in any order."""

    def pools(batches: Any) -> Any:
        order = [0, *range(len(batches) - 1, 0, -1)]
        return ((at, pool_batch(model, saes, batches[at], ordinary, pooling)) for at in order)

    return pool_features(rows, model.d_in, [sae.d_sae for sae in saes], pools)


TEXTS = [
    "The keeper counted the boats.",
    "a",
    "There were seven, and there should have been eight of them by then. " * 3,
]


@pytest.mark.parametrize("pooling", ["mean", "last", "max"])
@pytest.mark.parametrize("family_name", ["gpt2", "gemma2"])
def test_pools_are_over_the_texts_own_tokens(family_model: Model, family_name: str, pooling: str) -> None:
    """Against each text by itself, so that neither padding nor what shares its batch can matter."""
    found, (truncated, saes, rows, spec) = pooled(family_model, family_name, TEXTS, pooling)
    reduce = {"mean": lambda x: x.mean(0), "last": lambda x: x[-1], "max": lambda x: x.amax(0)}[pooling]
    assert len({len(row) for row in rows}) == 3
    for place, row in enumerate(rows):
        assert row[0] == spec.bos_id and not np.isin(row[1:], [spec.bos_id, *spec.eos_ids]).any()
        h = truncated(torch.from_numpy(row)[None])[0, 1:]
        np.testing.assert_allclose(found.h[place], reduce(h), atol=2e-5)
        for at, sae in enumerate(saes):
            codes = found.codes[at].toarray() if issparse(found.codes[at]) else found.codes[at]
            np.testing.assert_allclose(codes[place], reduce(sae.encode(h)), atol=2e-5)
            np.testing.assert_allclose(found.rebuilt[at][place], reduce(sae.reconstruct(h)), atol=2e-5)
    assert issparse(found.codes[1])


def test_features_do_not_depend_on_the_batch(family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'boats and lamps ' * (place % 5)}number {place}" for place in range(40)]
    whole, _ = pooled(family_model, "gpt2", texts)
    monkeypatch.setattr(probe_features, "ROWS_PER_FORWARD", 7)
    monkeypatch.setattr(probe_features, "SPARSE", 0.0)
    again, _ = pooled(family_model, "gpt2", texts[::-1])
    np.testing.assert_allclose(whole.h, again.h[::-1], atol=2e-5)
    np.testing.assert_allclose(whole.codes[1].toarray(), again.codes[1][::-1], atol=2e-5)
    np.testing.assert_allclose(whole.rebuilt[0], again.rebuilt[0][::-1], atol=2e-5)


def test_masks_reach_the_model_and_special_tokens_no_pool(family_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, whole = family_model("llama")
    truncated, ordinary = TruncatedModel(whole, Hook(1, "resid_pre")), ordinary_ids(spec)
    body = np.array([40, 50, 60])
    plain, ended = (np.concatenate([[spec.bos_id], body, end]).astype(np.int64) for end in ([], [spec.eos_ids[0]]))
    masks = []
    real = TruncatedModel.__call__

    def spied(self: Any, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        masks.append(mask)
        return real(self, ids, mask)

    monkeypatch.setattr(TruncatedModel, "__call__", spied)
    sae = random_sae(truncated.d_in, 32, 2, 0)
    only = np.array([spec.bos_id], np.int64)
    for pooling in POOLINGS:
        found = features(truncated, [sae], [plain, ended, only], ordinary, pooling)
        np.testing.assert_allclose(found.h[0], found.h[1], atol=1e-5)
        assert not found.h[2].any() and not found.rebuilt[0][2].any()
    assert masks[0].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]
