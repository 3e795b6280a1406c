"""attn_out + mlp_out is what a layer adds to the residual stream, whatever the family, or the hook is refused by name."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Identity, Linear, Module
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import KINDS, Hook
from faithful.hooks.hook_points import Trace
from faithful.hooks.sublayers import find_sublayers

HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2}
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "pad_token_id": 0}
MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
OLD = {"vocab_size": 64, "pad_token_id": 0}
FOUND: dict[str, tuple[dict[str, Any], str, str, float]] = {
    "gpt2": (OLD | {"n_embd": 32, "n_layer": 3, "n_head": 2}, "attn", "mlp", 1),
    "llama": (SIZES | HEADS, "self_attn", "mlp", 1),
    "gemma2": (SIZES | HEADS | {"head_dim": 16}, "post_attention_layernorm", "post_feedforward_layernorm", 1),
    "qwen2": (SIZES | HEADS, "self_attn", "mlp", 1),
    "qwen3": (SIZES | HEADS | {"head_dim": 16}, "self_attn", "mlp", 1),
    "gemma3_text": (SIZES | HEADS | {"head_dim": 16}, "post_attention_layernorm", "post_feedforward_layernorm", 1),
    "olmo2": (SIZES | HEADS, "post_attention_layernorm", "post_feedforward_layernorm", 1),
    "glm4": (SIZES | HEADS | {"head_dim": 16}, "post_self_attn_layernorm", "post_mlp_layernorm", 1),
    "granite": (SIZES | HEADS | {"residual_multiplier": 0.22}, "self_attn", "mlp", 0.22),
    "granitemoe": (SIZES | HEADS | MOE | {"residual_multiplier": 0.5}, "self_attn", "block_sparse_moe", 0.5),
    "hyperclovax": (SIZES | HEADS | {"use_post_norm": True, "residual_multiplier": 0.3}, "post_norm1", "post_norm2", 0.3),
    "afmoe": (
        SIZES | HEADS
        | {"head_dim": 16, "num_dense_layers": 1, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
        "post_attention_layernorm", "post_mlp_layernorm", 1,
    ),
    "bloom": (OLD | {"hidden_size": 32, "n_layer": 3, "n_head": 2}, "self_attention.dense", "mlp.dense_4h_to_h", 1),
    "mpt": (OLD | {"d_model": 32, "n_layers": 3, "n_heads": 2, "max_seq_len": 64}, "attn", "ffn.down_proj", 1),
    "ctrl": (OLD | {"n_embd": 32, "n_layer": 3, "n_head": 2, "dff": 48, "n_positions": 64}, "multi_head_attention", "ffn", 1),
    "falcon": (OLD | {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}, "self_attention", "mlp", 1),
    "gptj": (OLD | {"n_embd": 32, "n_layer": 3, "n_head": 2, "rotary_dim": 8, "n_positions": 64}, "attn", "mlp", 1),
    "stablelm": (SIZES | HEADS | {"use_parallel_residual": True}, "self_attn", "mlp", 1),
    "xglm": (
        OLD | {"d_model": 32, "num_layers": 3, "attention_heads": 2, "ffn_dim": 48, "max_position_embeddings": 64},
        "self_attn", "fc2", 1,
    ),
    "qwen3_next": (
        SIZES | HEADS
        | {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
           "shared_expert_intermediate_size": 16, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
           "linear_num_key_heads": 2, "linear_num_value_heads": 2},
        "linear_attn", "mlp", 1,
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "minimax": (SIZES | HEADS | MOE | {"head_dim": 16, "block_size": 8}, "it scales the stream", "it scales the stream"),
    "doge": (SIZES | HEADS, "it scales the stream", "it scales the stream"),
    "granitemoeshared": (
        SIZES | HEADS | MOE | {"shared_intermediate_size": 16, "residual_multiplier": 0.5},
        "adds more than two", "adds more than two",
    ),
    "bert": (SIZES | {"num_attention_heads": 2, "is_decoder": True}, "one module of attention", "one module of attention"),
    "opt": (
        OLD | {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "word_embed_proj_dim": 32,
               "max_position_embeddings": 64},
        "", "fc2 of layer 1 of OPTForCausalLM gives rows and tokens as one",
    ),
    "jamba": (
        SIZES | HEADS | {"mamba_d_state": 4, "mamba_dt_rank": 4, "num_experts": 2, "use_mamba_kernels": False},
        "has no attention but mamba", "",
    ),
}  # fmt: skip


@cache
def model_of(family: str) -> Any:
    """Three layers of random weights; norms, biases and gates are not what a model is initialised with."""
    config = CONFIG_MAPPING[family](**(FOUND | REFUSED)[family][0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for weight in model.parameters():
                weight += (0.2 if weight.dim() < 2 else 0.05) * torch.randn_like(weight)
    return model.eval()


def read(model: Any, kinds: tuple[str, ...], ids: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles = [Hook(1, kind).place(model).on(lambda x, kind=kind: seen.__setitem__(kind, x.clone())) for kind in kinds]
    with torch.no_grad():
        model(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("family", FOUND)
def test_attention_and_mlp_make_up_what_the_layer_adds(family: str) -> None:
    _, attention, mlp, factor = FOUND[family]
    model, ids = model_of(family), torch.randint(1, 64, (2, 20), generator=torch.Generator().manual_seed(1))
    seen = read(model, KINDS, ids)
    added = seen["resid_post"] - seen["resid_pre"]
    torch.testing.assert_close(seen["attn_out"] + seen["mlp_out"], added, atol=1e-5, rtol=1e-4)
    for kind, name in (("attn_out", attention), ("mlp_out", mlp)):
        place = Hook(1, kind).place(model)
        assert (place.path.partition(".1.")[2], place.factor) == (name, factor)
    assert seen["attn_out"].norm() > 0 and seen["mlp_out"].norm() > 0


@pytest.mark.parametrize("family", ["granite", "bloom", "glm4", "mpt"])
@pytest.mark.parametrize("kind", ["attn_out", "mlp_out"])
def test_what_is_put_in_its_place_is_added_instead(family: str, kind: str) -> None:
    model, ids = model_of(family), torch.randint(1, 64, (1, 9), generator=torch.Generator().manual_seed(2))
    other = ({"attn_out", "mlp_out"} - {kind}).pop()
    with Put(model, kind, lambda x: torch.ones_like(x)):
        seen = read(model, ("resid_pre", "resid_post", other), ids)
    added = seen["resid_post"] - seen["resid_pre"] - seen[other]
    torch.testing.assert_close(added, torch.ones_like(added), atol=1e-5, rtol=1e-5)


class Put:
    """Something else at a hook of layer 1."""

    def __init__(self, model: Any, kind: str, change: Any) -> None:
        self.handle = Hook(1, kind).place(model).on(change)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: Any) -> None:
        self.handle.remove()


@pytest.mark.parametrize("family", REFUSED)
def test_families_that_add_something_else_are_refused_by_name(family: str) -> None:
    model = model_of(family)
    for kind, said in zip(("attn_out", "mlp_out"), REFUSED[family][1:], strict=True):
        if said:
            with pytest.raises(FaithfulError, match=rf"{kind}\.1 cannot be read: .*{said}"):
                Hook(1, kind).place(model)
        else:
            Hook(1, kind).place(model)
    assert Hook(1, "resid_post").place(model).side == "output"


def test_several_streams_are_refused_everywhere() -> None:
    config = CONFIG_MAPPING["gemma3n_text"](
        **SIZES | HEADS | {"num_hidden_layers": 4, "intermediate_size": [48] * 4, "head_dim": 16},
        vocab_size_per_layer_input=64, hidden_size_per_layer_input=8, laurel_rank=8, num_kv_shared_layers=0,
        activation_sparsity_pattern=[0.0] * 4, layer_types=["full_attention"] * 4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    for kind in KINDS:
        with pytest.raises(FaithfulError, match=r"What enters layer 1 .* is \[4, 1, 12, 32\], not one residual stream"):
            Hook(1, kind).place(model)


class Layer(Module):
    """Modules of a made-up layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.norm, self.mlp = Linear(4, 4), Identity(), Linear(4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("off", [0.0, 0.05])
def test_rounding_is_no_difference_and_a_twentieth_is(dtype: torch.dtype, off: float) -> None:
    """A stream twenty times what is added to it, as in large models."""
    generator = torch.Generator().manual_seed(0)
    before, attention, mlp = (
        (size * torch.randn(1, 12, 64, generator=generator)).to(dtype) for size in (20.0, 1.0, 1.0)
    )
    after = before + (1 + off) * attention + mlp
    found = find_sublayers(Layer(), Trace(before, after, None, {"attn": attention, "mlp": mlp}))
    assert (found is None) == bool(off)
