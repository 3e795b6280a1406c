"""Small random models of every causal type that transformers knows, as checkpoint folders.

A config is its class' own defaults with sizes from SMALL, under whatever names the class has for them, and OVERRIDES
where a type wants more.
"""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.families import tiny_tokenizer

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCAB = 300
WIDTH = 64
LAYERS = 4
LOGIT_STD = 2.0
MOST_PARAMETERS = 40_000_000
ENDS = [2, *range(20, 30)]
SMALL: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCAB),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size", "word_embed_proj_dim"), WIDTH),
    **dict.fromkeys(("embedding_dim", "input_embedding_size", "output_embedding_size", "lru_width"), WIDTH),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), LAYERS),
    "num_decoder_layers": LAYERS,
    **dict.fromkeys(("encoder_layers", "num_encoder_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("num_decoder_attention_heads", "num_encoder_attention_heads", "swa_num_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "dim_head", "d_head", "swa_head_dim", "v_head_dim", "attention_head_size"), 16),
    **dict.fromkeys(("kv_channels", "global_head_dim", "linear_head_dim"), 16),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "decoder_ffn_dim", "encoder_ffn_dim"), 96),
    **dict.fromkeys(("dff", "dim_ff", "n_inner", "d_inner", "feed_forward_size", "dense_intermediate_size"), 96),
    **dict.fromkeys(("intermediate_size_mlp", "expert_ffn_hidden_size"), 96),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    **dict.fromkeys(("prefix_dense_intermediate_size", "moe_shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), 128),
    **dict.fromkeys(("max_target_positions", "max_source_positions", "local_attention"), 128),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("moe_num_shared_experts", "first_k_dense_replace", "num_dense_layers"), 1),
    **dict.fromkeys(("sliding_window", "attention_window_size", "attention_chunk_size", "window_size"), 8),
    **dict.fromkeys(("sliding_window_size", "floor_scale", "keep_window_size", "local_attn_chunk_length"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "laurel_rank", "hidden_size_per_layer_input"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim"), 8),
    **dict.fromkeys(("mamba_n_heads", "n_mamba_heads", "linear_num_heads", "linear_num_value_heads"), 4),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size", "mamba_chunk_size", "chunk_size"), 8),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "linear_num_key_heads": 2,
    **dict.fromkeys(("mamba_dt_rank", "mamba_num_heads"), 4),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim"), 32),
    "mamba_d_ssm": 128,
    **dict.fromkeys(("mamba_n_groups", "n_groups", "mamba_ngroups"), 1),
    "index_topk": 8,
    "index_n_heads": 32,
    "index_head_dim": 16,
    "encoder_hash_byte_group_vocab": 64,
    **dict.fromkeys(("rotary_dim", "rel_extent"), 8),
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2}
SLIDING_ABOVE = {"use_sliding_window": True, "max_window_layers": 2}
UNTIED = {"tie_word_embeddings": False}
AUDIO = {"text_encoder": {"model_type": "t5"}, "audio_encoder": {"model_type": "encodec"}}
LATENT = {"num_key_value_heads": 4}
LINEAR = {"layer_types": ["linear_attention", "full_attention"] * 2}
QUERY_SPARSE = LINEAR | {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 16,
    "indexer_compress_ratio": 4, "ngram_vocab_size_base": 300, "split_ngram_parts": 1,
}  # fmt: skip
OVERRIDES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("glm_moe_dsa", "hy_v4", "youtu", "minicpm3"), LATENT),
    **dict.fromkeys(("gemma3_text", "smollm3", "laguna", "mellum", "ministral", "afmoe", "dots1"), SLIDING),
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe"), SLIDING_ABOVE),
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text", "qwen3_next", "olmo_hybrid"), LINEAR),
    "bamba": {"attn_layer_indices": [1, 3]},
    "gemma3": {"text_config": SLIDING},
    "gemma3n_text": SLIDING | {"num_kv_shared_layers": 2},
    "gemma4_text": SLIDING | {"num_kv_shared_layers": 2, "global_head_dim": 32},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8},
    "reformer": {
        "is_decoder": True, "axial_pos_shape": (8, 16), "axial_pos_embds_dim": (32, 32), "num_buckets": 8,
        "attn_layers": ["local", "lsh"] * 2, "lsh_attn_chunk_length": 8,
    },
    "got_ocr2": {
        "vision_config": {"image_size": 64, "global_attn_indexes": [1], "mlp_dim": 96, "output_channels": 32},
        "text_config": {"model_type": "qwen2"},
    },
    "cohere_compass_text": {"rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [3, 3, 2]}
    }},
    "dbrx": {
        "attn_config": {"rope_theta": 10_000.0, "kv_n_heads": 2, "clip_qkv": 8.0}, "ffn_config": {"ffn_hidden_size": 96},
    },
    **dict.fromkeys(("cohere", "cohere2"), UNTIED),
    "gemma4_assistant": {"text_config": {
        "model_type": "gemma4_text", "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0,
    }},
    "kimi_linear": LINEAR,
    "longcat_flash": LATENT | {"head_dim": 8},
    "blt": {
        "encoder_config": {"hidden_size_global": WIDTH}, "decoder_config": {"hidden_size_global": WIDTH},
        "global_config": {},
    },
    **dict.fromkeys(("musicgen", "musicgen_melody"), AUDIO),
    "qwen4_exp": {"text_config": QUERY_SPARSE},
    "qwen4_exp_text": QUERY_SPARSE,
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_key_value_heads": 4},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2, "num_hidden_layers": 4},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
NOT_SMALL = {
    "gemma3n": "its tower for images needs timm, which is no dependency",
    "gemma4_assistant": "drafts from the states of another model, and cannot read token ids alone",
    "gemma4_unified_assistant": "drafts from the states of another model, and transformers cannot build it from its config",
    "musicgen": "the causal LM is of its decoder's config; transformers cannot build it from this one",
    "musicgen_melody": "the causal LM is of its decoder's config; transformers cannot build it from this one",
}


def small_config(model_type: str, **changes: Any) -> PreTrainedConfig:
    """The type's config with the sizes of SMALL, and `changes`."""
    kind = CONFIG_MAPPING[model_type]
    values = _small_values(kind)
    for name, sub in (getattr(kind, "sub_configs", None) or {}).items():
        if hasattr(sub, "__dataclass_fields__"):
            values[name] = _small_values(sub)
    for name, value in (OVERRIDES.get(model_type, {}) | changes).items():
        if isinstance(value, dict) and "model_type" in value:
            values[name] = _small_values(CONFIG_MAPPING[value["model_type"]]) | value
        else:
            values[name] = values[name] | value if isinstance(values.get(name), dict) else value
    return kind(**values)


def build_causal_type(model_type: str, folder: Path, **changes: Any) -> Path:
    """Write a small checkpoint of the type with the tiny tokenizer and eleven end-of-text ids.

    Args:
        model_type: one of TYPES.
        folder: written anew.
        changes: to the config.

    Raises:
        Exception: what transformers says where it cannot be built; ValueError where it is not small.
    """
    config = small_config(model_type, **changes)
    with torch.device("meta"):
        size = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"{model_type} has {size:,} parameters")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        _spread(model.eval())
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    generation = {"bos_token_id": 1, "eos_token_id": ENDS, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def _small_values(kind: Any) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in SMALL.items() if name in names}


def _tokenizer() -> Any:
    return tiny_tokenizer(["<pad>", "<s>", "</s>", "<unk>"], [], bos="<s>", eos="</s>", pad="<pad>")


@torch.no_grad()
def _spread(model: Any) -> None:
    """Weights of about unit gain: what a model computes must depend on every part of it."""
    for weight in model.parameters():
        if not weight.is_floating_point():
            continue
        if weight.dim() < 2:
            weight += 0.1 * torch.randn_like(weight)
            continue
        scale = 0.3 if VOCAB in weight.shape else 1.2 * min(weight.shape[-1], weight.shape[-2]) ** -0.5
        weight.copy_(scale * torch.randn_like(weight))
    output = model.get_output_embeddings()
    tokens = torch.arange(30, 50).view(2, 10)
    for _ in range(4):
        if output is not None:
            output.weight *= LOGIT_STD / model(input_ids=tokens, use_cache=False).logits.std()
