"""Weights: each one of a checkpoint is used, or it is refused by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from faithful.base.errors import FaithfulError
from faithful.models.checkpoint import stored_shapes
from faithful.models.load import check_weights, load_model
from faithful.models.spec import resolve_model
from tests.families import build_family, copy_family, edit_weights

Folder = Callable[[str], Path]
Weights = dict[str, torch.Tensor]
LLAMA = "model.layers.0.self_attn"


def refusal(folder: Path) -> str:
    """The sentence with which a model is refused, at resolving or at loading it."""
    with pytest.raises(FaithfulError) as caught:
        load_model(resolve_model(str(folder)), "cpu")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


@pytest.fixture
def llama(family_folder: Folder, tmp_path: Path) -> Path:
    """A Llama that a test may change."""
    return copy_family(family_folder("llama"), tmp_path / "llama")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (f"{LLAMA}.q_proj.bias", (128,)),
        (f"{LLAMA}.k_proj.bias", (64,)),
        ("model.layers.0.mlp.down_proj.bias", (128,)),
        ("model.layers.0.self_attn.q_norm.weight", (32,)),
        ("model.layers.2.mlp.up_proj.weight", (128, 128)),
        (f"base_model.model.{LLAMA}.q_proj.lora_A.weight", (4, 128)),
        (f"{LLAMA}.q_proj.lora_B.default.weight", (128, 4)),
        (f"{LLAMA}.q_proj.weight_scale_inv", (1, 1)),
        ("score.weight", (2, 128)),
        ("v_head.summary.weight", (1, 128)),
        ("lm_head.bias", (301,)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tensors_that_the_model_does_not_use_are_refused_by_name(
    llama: Path, name: str, shape: tuple[int, ...]
) -> None:
    edit_weights(llama, lambda weights: weights.update({name: torch.ones(shape)}))
    message = refusal(llama)
    assert name.removeprefix("base_model.model.") in message and "the tensor " in message and "config.json" in message


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("llama", f"{LLAMA}.rotary_emb.inv_freq", (16,)),
        ("llama", f"{LLAMA}.rotary_emb.cos_cached", (1, 1, 128, 32)),
        ("gpt2", "transformer.h.0.attn.bias", (1, 1, 128, 128)),
        ("gpt2", "transformer.h.1.attn.masked_bias", ()),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", (1, 1, 128, 128)),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", ()),
        ("mistral", "vision_tower.patch_conv.weight", (4, 3, 2, 2)),
        ("mistral", "multi_modal_projector.linear_1.weight", (4, 4)),
        ("mistral", "model.mtp.layers.0.mlp.up_proj.weight", (4, 4)),
    ],
)
def test_what_changes_nothing_that_a_model_says_is_let_through(
    family: str, name: str, shape: tuple[int, ...], family_folder: Folder, tmp_path: Path
) -> None:
    folder = copy_family(family_folder(family), tmp_path / "copy")
    before = load_model(resolve_model(str(folder)), "cpu")
    edit_weights(folder, lambda weights: weights.update({name: torch.zeros(shape)}))
    after = load_model(resolve_model(str(folder)), "cpu")
    ids = torch.arange(5, 25)[None]
    assert torch.equal(before(ids).logits, after(ids).logits)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        (
            "XGLM",
            {"d_model": 64, "ffn_dim": 64, "num_layers": 2, "attention_heads": 2},
            "model.embed_positions.weights",
        ),
        ("GPTNeo", {"attention_types": [[["global", "local"], 1]]}, "transformer.h.1.attn.attention.bias"),
        ("GPTJ", {"rotary_dim": 16}, "transformer.h.0.attn.embed_positions"),
    ],
)
def test_what_the_model_computes_itself_under_that_name_is_let_through(
    tmp_path: Path, kind: str, settings: dict[str, Any], name: str
) -> None:
    import transformers

    folder = build_family("gpt2", tmp_path / "model")
    sizes = {"hidden_size": 64, "num_layers": 2, "num_heads": 2} if kind == "GPTNeo" else {}
    sizes |= {"n_embd": 64, "n_layer": 2, "n_head": 2} if kind == "GPTJ" else {}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=297, max_position_embeddings=128, bos_token_id=296, eos_token_id=296, **sizes, **settings
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    stored = dict(model.named_buffers())[name].clone()
    edit_weights(folder, lambda weights: weights.update({name: stored}))
    load_model(resolve_model(str(folder)), "cpu")


def test_a_bias_called_like_a_causal_mask_is_told_from_it_by_its_shape(llama: Path) -> None:
    edit_weights(llama, lambda weights: weights.update({"model.layers.0.attn.bias": torch.ones(128)}))
    assert "model.layers.0.attn.bias" in refusal(llama)


def test_layers_behind_the_last_one_count_as_heads_for_further_tokens_only_where_the_config_says_so(
    llama: Path,
) -> None:
    def layer(weights: Weights) -> None:
        for name in [name for name in weights if ".layers.1." in name]:
            weights[name.replace(".layers.1.", ".layers.2.")] = weights[name].clone()

    edit_weights(llama, layer)
    assert "model.layers.2." in refusal(llama)
    config = llama / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_nextn_predict_layers": 1}))
    load_model(resolve_model(str(llama)), "cpu")


def test_a_layer_that_transformers_leaves_out_by_number_is_looked_at_again(tmp_path: Path) -> None:
    """DeepSeek-V3's class leaves out `layers.61`, whatever number of layers the config states."""
    folder = tmp_path / "model"
    build_deepseek(folder)
    load_model(resolve_model(str(folder)), "cpu")
    edit_weights(folder, lambda weights: weights.update({"model.layers.61.eh_proj.weight": torch.ones(4, 8)}))
    assert "model.layers.61.eh_proj.weight" in refusal(folder)


def test_a_lost_tensor_is_named(llama: Path) -> None:
    edit_weights(llama, lambda weights: weights.pop(f"{LLAMA}.o_proj.weight"))
    assert f"{LLAMA}.o_proj.weight" in refusal(llama)


def test_another_shape_is_named_with_both(llama: Path) -> None:
    edit_weights(llama, lambda weights: weights.update({"model.layers.1.mlp.up_proj.weight": torch.zeros(96, 128)}))
    message = refusal(llama)
    assert "model.layers.1.mlp.up_proj.weight" in message and "[96, 128]" in message and "[128, 128]" in message


def test_several_shards_are_read_to_the_last(llama: Path) -> None:
    weights = load_file(llama / "model.safetensors") | {f"{LLAMA}.q_proj.bias": torch.ones(128)}
    (llama / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, inside in parts.items():
        save_file({name: weights[name] for name in inside}, llama / file, metadata={"format": "pt"})
    index = {"weight_map": {name: file for file, inside in parts.items() for name in inside}, "metadata": {}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    assert stored_shapes(str(llama), None) == {name: tuple(one.shape) for name, one in weights.items()}
    assert f"{LLAMA}.q_proj.bias" in refusal(llama)


@pytest.mark.parametrize("peft", [True, False], ids=["peft installed", "no peft"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside full weights"])
def test_an_adapter_is_refused_whatever_is_installed(
    llama: Path, monkeypatch: pytest.MonkeyPatch, alone: bool, peft: bool
) -> None:
    monkeypatch.setattr("transformers.models.auto.auto_factory.is_peft_available", lambda: peft)
    if alone:
        (llama / "config.json").unlink()
        (llama / "model.safetensors").unlink()
    (llama / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "no/such"}))
    message = refusal(llama)
    assert "adapter" in message and "LORA" in message and "merge" in message
    with pytest.raises(FaithfulError, match="adapter"):
        resolve_model(str(llama))


class _Code:
    """What a hostile .bin file holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("code", "posix.system"),
        ("numpy", "numpy"),
        ("pointer", "download the model again"),
        ("cut", "download the model again"),
        ("list", "weights"),
    ],
)
def test_a_bin_file_that_cannot_be_read(llama: Path, content: str, says: str) -> None:
    weights = load_file(llama / "model.safetensors")
    (llama / "model.safetensors").unlink()
    path = llama / "pytorch_model.bin"
    if content == "code":
        torch.save(weights | {"x": _Code()}, path)
    elif content == "numpy":
        torch.save({name: np.asarray(one) for name, one in weights.items()}, path)
    elif content == "list":
        torch.save(list(weights.values()), path)
    elif content == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    else:
        torch.save(weights, path)
        path.write_bytes(path.read_bytes()[:5000])
    message = refusal(llama)
    assert says in message
    assert "weights_only" not in message and "\x1b" not in message


def test_a_bin_file_of_tensors_is_read_and_judged_like_any(llama: Path) -> None:
    weights = load_file(llama / "model.safetensors")
    (llama / "model.safetensors").unlink()
    torch.save(weights, llama / "pytorch_model.bin")
    load_model(resolve_model(str(llama)), "cpu")
    torch.save(weights | {f"{LLAMA}.q_proj.bias": torch.ones(128)}, llama / "pytorch_model.bin")
    assert f"{LLAMA}.q_proj.bias" in refusal(llama)


def build_deepseek(folder: Path) -> None:
    """Write a tiny DeepSeek-V3 with the tokenizer of the tiny Llama."""
    from transformers import AutoModelForCausalLM, DeepseekV3Config

    build_family("llama", folder)
    vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = DeepseekV3Config(
        vocab_size=vocab, hidden_size=64, intermediate_size=64, moe_intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1,
        first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=24, v_head_dim=16,
        max_position_embeddings=128, bos_token_id=1, eos_token_id=2, num_nextn_predict_layers=0,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def test_an_engine_that_reads_the_weights_itself_is_spared_them_too(llama: Path) -> None:
    check_weights(resolve_model(str(llama)))
    edit_weights(llama, lambda weights: weights.update({f"{LLAMA}.q_proj.bias": torch.ones(128)}))
    with pytest.raises(FaithfulError, match="q_proj"):
        check_weights(resolve_model(str(llama)))


def test_quantised_weights_are_not_laid_out_for_kernels_on_the_meta_device(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels of gpt-oss and of other formats lay weights out anew while they load, which needs the weights."""

    def load(*args: Any, **options: Any) -> None:
        raise AssertionError("laid out")

    monkeypatch.setattr("faithful.models.load.load_checkpoint", load)
    config = json.loads((llama / "config.json").read_text())
    with pytest.raises(AssertionError):
        check_weights(resolve_model(str(llama)))
    (llama / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "mxfp4"}}))
    check_weights(resolve_model(str(llama)))
