"""Only causal LMs are taken: by their configuration where it says so, else by what they do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from faithful.base.errors import FaithfulError
from faithful.models.causality import refuse_future
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, resolve_model
from tests.families import build_family, copy_family, edit_weights

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SEQ2SEQ = {
    "d_model": 64, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128,
}  # fmt: skip
T5 = {"d_model": 64, "d_kv": 32, "d_ff": 64, "num_layers": 2, "num_heads": 2}
XLM = {"emb_dim": 64, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 128}
GEMMA = SMALL | {"head_dim": 32, "num_key_value_heads": 1}


def build(folder: Path, kind: str, built: str, **settings: Any) -> Path:
    """Write a tiny model of a class of transformers, with the tokenizer of the tiny Llama."""
    build_family("llama", folder)
    (folder / "generation_config.json").unlink()
    vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocab, **settings)
    getattr(transformers, built)(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "built", "settings", "says"),
    [
        ("Bert", "BertLMHeadModel", SMALL, "encoder"),
        ("Bert", "BertForMaskedLM", SMALL, "masked LM"),
        ("Roberta", "RobertaForMaskedLM", SMALL, "masked LM"),
        ("Electra", "ElectraForCausalLM", SMALL, "encoder"),
        ("ModernBert", "ModernBertForMaskedLM", SMALL | {"cls_token_id": 1, "sep_token_id": 2}, "masked LM"),
        ("T5", "T5ForConditionalGeneration", T5, "encoder–decoder"),
        ("Bart", "BartForConditionalGeneration", SEQ2SEQ, "encoder–decoder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_tasks_are_refused_before_a_weight_is_loaded(
    tmp_path: Path, kind: str, built: str, settings: dict[str, Any], says: str
) -> None:
    folder = build(tmp_path / "model", kind, built, **settings)
    with pytest.raises(FaithfulError, match=says) as caught:
        resolve_model(str(folder))
    assert "decoder-only" in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("kind", "built", "settings"),
    [
        ("XLNet", "XLNetLMHeadModel", {"d_model": 64, "n_layer": 2, "n_head": 2, "d_inner": 64}),
        ("XLM", "XLMWithLMHeadModel", XLM),
        ("Gemma3Text", "Gemma3ForCausalLM", GEMMA | {"use_bidirectional_attention": True}),
    ],
)
def test_a_model_that_reads_the_future_is_refused_when_it_is_loaded(
    tmp_path: Path, kind: str, built: str, settings: dict[str, Any]
) -> None:
    spec = resolve_model(str(build(tmp_path / "model", kind, built, **settings)))
    with pytest.raises(FaithfulError, match="is not causal"):
        load_model(spec, "cpu")


@pytest.mark.parametrize(
    ("kind", "built", "settings"),
    [
        ("Bert", "BertLMHeadModel", SMALL | {"is_decoder": True}),
        ("Bart", "BartForCausalLM", SEQ2SEQ),
        ("XLM", "XLMWithLMHeadModel", XLM | {"causal": True}),
        ("Gemma3Text", "Gemma3ForCausalLM", GEMMA | {"sliding_window": 8}),
        (
            "Qwen3Moe",
            "Qwen3MoeForCausalLM",
            GEMMA | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
        ),
        (
            "Mamba",
            "MambaForCausalLM",
            {"hidden_size": 64, "num_hidden_layers": 2, "bos_token_id": 1, "eos_token_id": 2},
        ),
    ],
)
def test_causal_models_of_the_same_kinds_are_taken(
    tmp_path: Path, kind: str, built: str, settings: dict[str, Any]
) -> None:
    load_model(resolve_model(str(build(tmp_path / "model", kind, built, **settings))), "cpu")


def test_what_holds_another_model_beside_its_language_model_is_refused_by_its_kind(
    family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_family(family_folder("mistral"), tmp_path / "copy")
    text = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "mistral3", "text_config": text}))
    with pytest.raises(FaithfulError, match=r"'mistral3'.*language model inside it"):
        resolve_model(str(folder))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_layer_that_mixes_later_tokens_in_is_seen(
    family_model: Callable[[str], tuple[ModelSpec, Any]], dtype: str
) -> None:
    spec, model = family_model("llama")
    model = load_model(spec, "cpu").to(getattr(torch, dtype))
    refuse_future(model, spec.source, spec.vocab_size)
    model.model.layers[1].register_forward_hook(lambda _, __, out: out + 0.5 * out.flip(1))
    with pytest.raises(FaithfulError, match="is not causal"):
        refuse_future(model, spec.source, spec.vocab_size)


def test_nan_is_left_to_those_who_read_the_logits(family_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy_family(family_folder("llama"), tmp_path / "copy")
    edit_weights(folder, lambda weights: weights["model.norm.weight"].fill_(float("nan")))
    load_model(resolve_model(str(folder)), "cpu")


def test_a_model_that_does_not_run_on_tokens_alone_says_so(
    family_model: Callable[[str], tuple[ModelSpec, Any]],
) -> None:
    spec, _ = family_model("llama")
    model = load_model(spec, "cpu")

    def asks(*_: Any) -> None:
        raise ValueError("pixel_values are needed")

    model.register_forward_pre_hook(asks)
    with pytest.raises(FaithfulError, match=r"token ids alone.*pixel_values"):
        refuse_future(model, spec.source, spec.vocab_size)
