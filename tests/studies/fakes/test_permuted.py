"""A model whose weights are permuted."""

from collections.abc import Callable
from typing import Any

import torch

from faithful.models.spec import ModelSpec
from studies.fakes.permuted import permuted_model

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_permuted_weights_keep_their_entries(family_model: Model) -> None:
    _, model = family_model("gpt2")
    other = permuted_model(model, seed=0)
    for (name, before), (_, after) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        assert torch.equal(before, after) == (before.dim() == 1 or before.unique().numel() == 1), name
    assert other.get_input_embeddings().weight is other.get_output_embeddings().weight
