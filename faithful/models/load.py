"""The weights of a causal LM, and its shape without them."""

from typing import Any

from faithful.base.devices import default_device
from faithful.models.causality import refuse_future, refuse_other_tasks
from faithful.models.checkpoint import load_checkpoint, refuse_adapter
from faithful.models.files import load_config
from faithful.models.presets import Shape
from faithful.models.shape import read_shape
from faithful.models.spec import ModelSpec, check_unchanged


def load_model(spec: ModelSpec, device: str | None = None) -> Any:
    """The causal LM in evaluation mode on `device` (by default the GPU where there is one), in `spec.dtype`.

    Attention runs through SDPA, but eagerly where the config caps attention logits, which SDPA would ignore, and in
    families without SDPA. Every weight is used, and no earlier logit depends on a later token: both are checked here.

    Raises:
        FaithfulError: the weights are missing, incomplete, more than the model uses or unreachable; an adapter; a model
            that is not causal.
    """
    import torch

    check_unchanged(spec)
    config = load_config(spec.files, spec.hub_revision())
    refuse_other_tasks(config, spec.source)
    model = load_checkpoint(
        spec.weights,
        spec.hub_revision(),
        dtype=getattr(torch, spec.dtype),
        attn_implementation=_attention(config),
    )
    model = model.to(device or default_device()).eval()
    refuse_future(model, spec.source, min(spec.vocab_size, spec.mapped))
    return model


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
