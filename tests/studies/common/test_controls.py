"""Controls: permuted models, shuffled documents."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from faithful.models.spec import ModelSpec
from studies.common.controls import permuted_model, shuffled_documents
from studies.common.panel import shuffled_rows

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_documents_that_share_a_context_are_shuffled_apart() -> None:
    ordinary = np.arange(1000) > 1
    documents = [np.arange(first, first + 60) for first in (100, 200, 300)]
    packed = np.concatenate([part for one in documents for part in ([1], one)])
    packed[0] = 0
    (found,) = shuffled_documents([packed], ordinary, seed=0)
    assert (found[~ordinary[packed]] == packed[~ordinary[packed]]).all()
    for place, document in enumerate(documents):
        part = found[1 + 61 * place : 61 * (place + 1)]
        assert sorted(part) == list(document) and (part != document).any()
    alone = [np.concatenate([[0], one, [1]]) for one in documents]
    for one, other in zip(shuffled_documents(alone, ordinary, 0), shuffled_rows(alone, ordinary, 0), strict=True):
        assert (one == other).all()


def test_permuted_weights_keep_their_entries(family_model: Model) -> None:
    _, model = family_model("gpt2")
    other = permuted_model(model, seed=0)
    for (name, before), (_, after) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        assert torch.equal(before, after) == (before.dim() == 1 or before.unique().numel() == 1), name
    assert other.get_input_embeddings().weight is other.get_output_embeddings().weight
