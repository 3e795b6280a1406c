"""Models loaded: dtype, attention, shape."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from faithful.models.load import load_model, shape_of
from faithful.models.spec import resolve_model
from tests.families import FAMILIES, copy_family

Folder = Callable[[str], Path]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_loads_in_its_dtype(family_folder: Folder, dtype: str) -> None:
    model = load_model(resolve_model(str(family_folder("llama")), dtype=dtype), "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert not model.training


def test_gemma2_runs_eagerly_and_caps(family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("gemma2")))
    model = load_model(spec, "cpu")
    assert model.config._attn_implementation == "eager"
    ids = torch.randint(4, spec.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        capped = model(ids).logits
        model.config.attn_logit_softcapping = None
        for layer in model.model.layers:
            layer.self_attn.attn_logit_softcapping = None
        uncapped = model(ids).logits
        uncapped_sdpa = AutoModelForCausalLM.from_pretrained(spec.source, attn_implementation="sdpa")(ids).logits
    assert capped.abs().max() <= model.config.final_logit_softcapping
    assert (capped - uncapped).abs().max() > 0.1  # the cap matters in this model ...
    assert torch.allclose(uncapped, uncapped_sdpa, atol=1e-4)  # ... and SDPA would have left it out


def test_others_run_through_sdpa(family_folder: Folder) -> None:
    for name in set(FAMILIES) - {"gemma2"}:
        assert load_model(resolve_model(str(family_folder(name))), "cpu").config._attn_implementation == "sdpa"


def test_shape(family: str, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder(family)))
    shape, model = shape_of(spec), load_model(spec, "cpu")
    assert shape.params == sum(parameter.numel() for parameter in model.parameters())
    assert (shape.layers, shape.head_dim, shape.vocab, shape.positions) == (2, 32, spec.vocab_size, 128)
    assert shape.kv_heads == {"gpt2": 2, "gpt_neox": 2, "llama": 2, "gemma2": 2, "mistral": 1}[family]
    assert shape.d_model == model.config.hidden_size


def test_shape_of_a_folder_named_like_a_preset(family_folder: Folder, tmp_path: Path) -> None:
    folder = copy_family(family_folder("gpt2"), tmp_path / "gpt2")
    assert shape_of(resolve_model(str(folder))).layers == 2
