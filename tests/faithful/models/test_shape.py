"""What a token takes of the key–value cache: as the engine's own cache finds it, in every family."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache

from faithful.models.load import shape_of
from faithful.models.shape import read_shape
from faithful.models.spec import ModelSpec

SMALL = {
    "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
FALCON = {key: SMALL[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
GPT2 = {"vocab_size": 300, "n_embd": 64, "n_layer": 3, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
LATENT = {
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 24, "v_head_dim": 16,
    "num_key_value_heads": 4, "moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1,
}  # fmt: skip
FAMILIES: list[tuple[str, dict[str, Any], int]] = [
    ("Falcon", FALCON | {"multi_query": True, "new_decoder_architecture": False}, 3 * 2 * 16),
    ("Falcon", FALCON | {"multi_query": False, "new_decoder_architecture": False}, 3 * 2 * 4 * 16),
    ("GPTBigCode", GPT2 | {"multi_query": True}, 3 * 2 * 16),
    ("GPT2", GPT2, 3 * 2 * 4 * 16),
    ("GPT2", GPT2 | {"pad_token_id": 0}, 3 * 2 * 4 * 16),
    ("Mpt", {"vocab_size": 300, "d_model": 64, "n_layers": 3, "n_heads": 4}, 3 * 2 * 4 * 16),
    ("Gemma3Text", SMALL | {"num_key_value_heads": 2, "head_dim": 32}, 3 * 2 * 2 * 32),
    ("DeepseekV3", SMALL | LATENT | {"first_k_dense_replace": 1}, 3 * (16 + 8)),
    ("DeepseekV3", SMALL | LATENT | {"first_k_dense_replace": 0}, 3 * (16 + 8)),
    ("Mixtral", SMALL | {"num_key_value_heads": 2, "num_local_experts": 4}, 3 * 2 * 2 * 16),
    ("Mamba", {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3}, 0),
]


@pytest.mark.parametrize(
    ("kind", "settings", "values"), FAMILIES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_key_value_cache_of_a_token(kind: str, settings: dict[str, Any], values: int, dtype: torch.dtype) -> None:
    config = getattr(transformers, f"{kind}Config")(**settings)
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, dtype=dtype)
    shape = read_shape(empty, 300, 128, "model")
    assert shape.cached == values
    assert shape.kv_bytes_per_token(2) == 2 * values
    assert (shape.layers, shape.d_model, shape.params) == (3, 64, sum(one.numel() for one in empty.parameters()))
    assert (shape.state > 0) == (kind == "Mamba")
    if not values:
        return
    cache = DynamicCache(config=config)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.inference_mode():
        model(input_ids=torch.tensor([[1, 5, 6, 7]]), past_key_values=cache, use_cache=True)
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert held == 4 * values


def test_presets_and_measured_models_count_alike(
    family_model: Callable[[str], tuple[ModelSpec, Any]], family: str
) -> None:
    shape = shape_of(family_model(family)[0])
    assert shape.cached == 2 * shape.layers * shape.kv_heads * shape.head_dim


def test_a_pass_that_ends_before_the_first_key_leaves_the_configs_heads() -> None:
    config = transformers.LlamaConfig(**SMALL | {"num_key_value_heads": 2})
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    empty.forward = None
    shape = read_shape(empty, 300, 128, "model")
    assert (shape.cached, shape.kv_heads, shape.head_dim, shape.state) == (None, 2, 16, 0)
    assert shape.kv_bytes_per_token(4) == 3 * 2 * 2 * 16 * 4
