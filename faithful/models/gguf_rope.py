"""Rotary scaling of GGUF files, which transformers does not read: told by the header and by a tensor of factors."""

from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.models.gguf_header import GgufHeader

LLAMA3 = {
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""What all Llamas from 3.1 on state; they differ in their factor alone (8, 32)."""
READ_WITH_SCALING = ("gpt-oss", "qwen35", "qwen35moe")


def rope_parameters(config: Any, header: GgufHeader, file: Path) -> dict[str, dict[str, Any]]:
    """What a config must state of its rotary frequencies for the factors of a file, {} where there are none.

    Llama 3.1 and later divide each frequency by a factor, which llama.cpp keeps as the tensor `rope_freqs.weight` [head_dim
    / 2] and transformers as four numbers: these must give that tensor again.

    Raises:
        FaithfulError: they do not.
    """
    if header.rope_scaling and header.architecture not in READ_WITH_SCALING:
        raise FaithfulError(
            f"{file} scales its rotary frequencies ({header.rope_scaling}), which transformers does not read from GGUF files"
            f" of the architecture {header.architecture}: it would be another model; give the model's own folder."
        )
    if not header.rope_factors:
        return {}
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    plain = dict(config.rope_parameters)
    stated = plain | LLAMA3 | {"factor": max(header.rope_factors)}
    base = plain["rope_theta"]
    width = 2 * len(header.rope_factors)
    before = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    config.rope_parameters = stated
    after, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    config.rope_parameters = plain
    if after.shape != before.shape or not torch.allclose(before / after, torch.tensor(header.rope_factors), rtol=1e-3):
        raise FaithfulError(
            f"{file} scales its rotary frequencies (rope_freqs.weight) otherwise than Llama 3 does, which transformers does"
            " not read from GGUF; give the model's own folder."
        )
    return {"rope_parameters": stated}
