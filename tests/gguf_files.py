"""GGUF files for tests: a tiny Llama as llama.cpp's converter writes one, with anything stated otherwise."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import load_file

PARTS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(
    model: Path,
    path: Path,
    *,
    stored: str = "F32",
    architecture: str = "llama",
    fields: dict[str, Any] | None = None,
    more: dict[str, np.ndarray] | None = None,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Write a tiny Llama's folder as one GGUF file.

    Args:
        model: folder of `tests.families.build_family("llama", …)`.
        path: where to.
        stored: how matrices are: F32, F16, Q8_0, Q4_1.
        architecture: the name in the header.
        fields: header fields that are stated otherwise than the model says, None: left out.
        more: further tensors.
        leave_out: names of tensors, by their ends.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, architecture)
    stated: dict[str, Any] = {
        "general.name": "a converter's guess", "general.type": "model", "general.license": "apache-2.0",
        "general.file_type": gguf.LlamaFileType[f"{'ALL_' if stored == 'F32' else 'MOSTLY_'}{stored}"].value,
        f"{architecture}.context_length": config["max_position_embeddings"],
        f"{architecture}.embedding_length": config["hidden_size"],
        f"{architecture}.block_count": config["num_hidden_layers"],
        f"{architecture}.feed_forward_length": config["intermediate_size"],
        f"{architecture}.attention.head_count": config["num_attention_heads"],
        f"{architecture}.attention.head_count_kv": config["num_key_value_heads"],
        f"{architecture}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{architecture}.rope.freq_base": config["rope_parameters"]["rope_theta"],
        f"{architecture}.rope.dimension_count": config["head_dim"], f"{architecture}.vocab_size": config["vocab_size"],
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.bos_token_id": config["bos_token_id"],
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
    }  # fmt: skip
    for name, value in (stated | (fields or {})).items():
        _field(writer, name, value)
    ids = tokenizer["model"]["vocab"]
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    words = {number: word for word, number in ids.items()} | special
    writer.add_token_list([words[number] for number in range(config["vocab_size"])])
    writer.add_token_types([3 if number in special else 1 for number in range(config["vocab_size"])])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    kind = gguf.GGMLQuantizationType[stored]
    for name, weight in load_file(model / "model.safetensors").items():
        called = _called(name)
        if called.endswith(leave_out) if leave_out else False:
            continue
        weight = _permuted(name, weight, config)
        if weight.ndim == 1 or stored == "F32":
            writer.add_tensor(called, weight)
        else:
            writer.add_tensor(called, gguf.quantize(weight, kind), raw_dtype=kind)
    for name, weight in (more or {}).items():
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _field(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if value is None or name == "general.architecture":
        return
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    add.get(type(value), writer.add_array)(name, value)


def _called(name: str) -> str:
    stem, _, end = name.rpartition(".")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{end}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.{end}"


def _permuted(name: str, weight: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """Rows of queries and keys in llama.cpp's order: the halves of a rotary pair beside each other."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    part = name.split(".")[-2]
    if part not in heads:
        return weight
    return weight.reshape(config[heads[part]], 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
