"""Effects on logits, beside the sum written out."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from studies.browse.effects import SHOWN, Unembedding

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(7, 32, generator=torch.Generator().manual_seed(0))


def fitted(rows: torch.Tensor, width: int) -> torch.Tensor:
    return rows.repeat(1, -(-width // rows.shape[1]))[:, :width] + torch.linspace(0, 1, width)


def test_effects_through_a_layer_norm_are_the_direct_product(family_model: Model, rows: torch.Tensor) -> None:
    _, model = family_model("gpt2")
    norm, weight = model.transformer.ln_f, model.lm_head.weight.detach()
    w = fitted(rows, weight.shape[1])
    centred = w - w.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    torch.testing.assert_close(Unembedding(model).logits(w), (scaled * norm.weight.detach()) @ weight.T)


def test_effects_through_an_rms_norm_are_the_direct_product(family_model: Model, rows: torch.Tensor) -> None:
    _, model = family_model("llama")
    norm, weight = model.model.norm, model.lm_head.weight.detach()
    w = fitted(rows, weight.shape[1])
    scaled = w / (w.square().mean(1, keepdim=True) + norm.variance_epsilon).sqrt()
    torch.testing.assert_close(Unembedding(model).logits(w), (scaled * norm.weight.detach()) @ weight.T)


def test_the_strongest_effects_are_shown_without_special_tokens(family_model: Model, rows: torch.Tensor) -> None:
    spec, model = family_model("gpt2")
    unembedding = Unembedding(model)
    w = fitted(rows, model.config.hidden_size)
    logits = unembedding.logits(w)
    ordinary = torch.ones(spec.vocab_size, dtype=torch.bool)
    ordinary[logits[0].argmax()] = False
    found = unembedding.effects(w, ordinary)
    kept = logits[:, ordinary].sort(1, descending=True).values
    torch.testing.assert_close(found.up, kept[:, :SHOWN])
    torch.testing.assert_close(found.down, kept.flip(1)[:, :SHOWN])
    torch.testing.assert_close(logits.gather(1, found.raised), found.up)
    torch.testing.assert_close(logits.gather(1, found.lowered), found.down)


def test_every_family_has_a_final_norm(family: str, family_model: Model) -> None:
    _, model = family_model(family)
    unembedding = Unembedding(model)
    assert unembedding.norm is not None
    assert torch.isfinite(unembedding.logits(torch.ones(1, unembedding.weight.shape[1]))).all()


def test_a_model_without_an_unembedding_is_refused() -> None:
    with pytest.raises(FaithfulError, match="no unembedding"):
        Unembedding(SimpleNamespace(get_output_embeddings=lambda: None))
