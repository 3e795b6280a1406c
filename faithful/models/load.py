"""The weights of a causal LM, and its shape without them."""

from typing import Any

from faithful.base.devices import default_device
from faithful.base.errors import FaithfulError
from faithful.models.causality import refuse_future, refuse_other_tasks
from faithful.models.checkpoint import load_checkpoint, refuse_adapter
from faithful.models.files import load_config
from faithful.models.presets import Shape
from faithful.models.shape import read_shape
from faithful.models.spec import ModelSpec, check_unchanged, require_quantising

SHARDED = "balanced"
"""The `device_map` of a model that is spread: about as much on each GPU."""


def load_model(spec: ModelSpec, device: str | None = None) -> Any:
    """The causal LM in evaluation mode on `device` (by default the GPU where there is one), in `spec.dtype`.

    Attention runs through SDPA, but eagerly where the config caps attention logits, which SDPA would ignore, and in
    families without SDPA. Every weight is used, and no earlier logit depends on a later token: both are checked here.
    With `spec.load` the linear layers but the output are quantised while they are read (`quantising`); with `spec.sharded`
    the layers are spread over the GPUs that torch sees, what enters the model and its logits being on the first.

    Raises:
        FaithfulError: the weights are missing, incomplete, more than the model uses or unreachable; an adapter; a model
            that is not causal; what quantises is not installed; layers that the GPUs together have no room for.
    """
    import torch

    check_unchanged(spec)
    device = device or default_device()
    config = load_config(spec.files, spec.hub_revision())
    refuse_other_tasks(config, spec.source)
    model = load_checkpoint(
        spec.weights,
        spec.hub_revision(),
        dtype=getattr(torch, spec.dtype),
        attn_implementation=_attention(config),
        **(quantising(spec.load, spec.dtype, device) if spec.load else {})
        | ({"device_map": SHARDED} if spec.sharded else {}),
    )
    if spec.sharded:
        refuse_offloaded(model, spec.name)
    model = (model if spec.load or spec.sharded else model.to(device)).eval()
    refuse_future(model, spec.source, min(spec.vocab_size, spec.mapped))
    return model


def refuse_offloaded(model: Any, name: str) -> None:
    """Refuse a model of which accelerate left layers outside the GPUs, where every pass would fetch them anew.

    Raises:
        FaithfulError: there are such layers.
    """
    outside = sum(place in ("cpu", "disk") for place in model.hf_device_map.values())
    if outside:
        raise FaithfulError(
            f"The GPUs together have no room for {name}: {outside} of its {len(model.hf_device_map)} parts would lie outside"
            " them; use --dtype bfloat16, --load 8bit or 4bit, or more GPUs."
        )


def quantising(load: str, dtype: str, device: str) -> dict[str, Any]:
    """Options of `from_pretrained` that quantise with bitsandbytes: `4bit` weights in NF4, `8bit` weights and what enters
    them in int8.

    Each token is quantised by itself: LLM.int8()'s columns of outliers, found in all that is computed together, are off
    (threshold 0), for by them a token's logits would depend on later tokens and on other texts.

    Args:
        load: `8bit` or `4bit`.
        dtype: of everything else.
        device: `cpu` or `cuda`.

    Raises:
        FaithfulError: bitsandbytes or accelerate is not installed.
    """
    import torch
    from transformers import BitsAndBytesConfig

    require_quantising(load)
    config: Any = BitsAndBytesConfig
    if load == "8bit":
        how = config(load_in_8bit=True, llm_int8_threshold=0.0)
    else:
        how = config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, dtype))
    return {"quantization_config": how, "device_map": {"": "cpu" if device == "cpu" else 0}}


def check_weights(spec: ModelSpec) -> None:
    """Refuse of a checkpoint what `load_model` refuses, for an engine that reads the weights itself: vLLM leaves out what it
    does not use, too.

    Names and shapes are compared on the meta device, for which transformers needs `accelerate`; without that, and where
    weights are quantised (MXFP4 of gpt-oss, fp8), which kernels lay out anew while they load, the reference that vLLM is
    compared with is the first to look.

    Raises:
        FaithfulError: see `load_checkpoint`.
    """
    from transformers.utils import is_accelerate_available

    config = load_config(spec.files, spec.hub_revision())
    refuse_other_tasks(config, spec.source)
    refuse_adapter(spec.files, spec.hub_revision())
    if is_accelerate_available() and getattr(config, "quantization_config", None) is None:
        load_checkpoint(spec.weights, spec.hub_revision(), device_map="meta")


def empty_model(spec: ModelSpec) -> Any:
    """What `load_model` gives, without its weights: on the meta device, to be counted and measured."""
    import torch
    from transformers import AutoModelForCausalLM

    config = load_config(spec.files, spec.hub_revision())
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config, dtype=getattr(torch, spec.dtype), attn_implementation=_attention(config))


def shape_of(spec: ModelSpec) -> Shape:
    """Shape of a resolved model: the preset's, else as `read_shape` finds it.

    Raises:
        FaithfulError: see `read_shape`.
    """
    if spec.preset:
        return spec.preset.shape
    return read_shape(empty_model(spec), spec.vocab_size, spec.positions, spec.name)


def _attention(config: Any) -> str | None:
    """Eager where the config caps attention logits, which SDPA would ignore; else None: SDPA where the family has it."""
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None
