"""Hooks: what activations are read or replaced in a causal LM, named by layer and kind."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Module

from faithful.base.errors import FaithfulError
from faithful.hooks.hook_points import HookPoint, decoder_layers, trace_layer
from faithful.hooks.sublayers import sublayer_place

KINDS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
MODULE = "module"
ATTENTIONS = ("attn", "self_attn", "attention", "self_attention")
LISTS = r"layers|h|blocks"
WRAPPERS = {
    "model", "base_model", "transformer", "gpt_neox", "language_model", "text_model", "decoder", "backbone", "biogpt", "rwkv",
    "gpt_neox_japanese",
}  # fmt: skip


@dataclass(frozen=True)
class Hook:
    """What activations are taken.

    Attributes:
        layer: decoder layer, from 0.
        kind: `resid_pre` (what enters the layer), `resid_post` (what leaves it), `attn_out` or `mlp_out` (what its
            attention or MLP adds to the residual stream, after norms and factors that some models put there), or `module`.
        module: of the kind `module`, the module whose output is meant, by its path in the layer: `mlp`. In families that put
            a norm or a factor behind it this is not what is added to the residual stream.
        centred: the activation's mean over its dimensions is taken off where no norm of the model sees it, as TransformerLens
            does with `center_writing_weights`.
        bos: contexts begin with BOS; else the model reads them without it.

    Raises:
        FaithfulError: no such kind, or a layer below 0.
    """

    layer: int
    kind: str
    module: str = ""
    centred: bool = False
    bos: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not (self.kind == MODULE and self.module):
            raise FaithfulError(f"'{self.kind}' is not a hook; choose {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
        if self.layer < 0:
            raise FaithfulError(f"There is no layer {self.layer}; layers are counted from 0.")

    @property
    def name(self) -> str:
        """`resid_pre.8`, `layers.8.mlp`; with `-centred` and `-nobos` where that holds."""
        place = f"layers.{self.layer}.{self.module}" if self.kind == MODULE else f"{self.kind}.{self.layer}"
        return place + "-centred" * self.centred + "-nobos" * (not self.bos)

    @property
    def tl_name(self) -> str:
        """TransformerLens' name, `blocks.8.hook_resid_pre`; it has none for a module, which keeps its own."""
        return f"layers.{self.layer}.{self.module}" if self.kind == MODULE else f"blocks.{self.layer}.hook_{self.kind}"

    def place(self, model: Any) -> HookPoint:
        """The place in a Hugging Face causal LM, found and checked by running a few tokens.

        What enters and leaves the layer must be the residual stream; `attn_out` and `mlp_out` must together be what the layer
        adds to it, up to rounding.

        Raises:
            FaithfulError: the layer or the module does not exist, the model is laid out in a way that is not known, its
                layers hand on something else than one residual stream, or add something else to it.
        """
        path, layers = decoder_layers(model)
        self.check_layer(model)
        layer, path = layers[self.layer], f"{path}.{self.layer}"
        if self.kind in ("attn_out", "mlp_out"):
            place = sublayer_place(model, self.layer, self.kind)
        elif self.kind == MODULE:
            place = self._module_place(model, layer, path)
        else:
            trace_layer(model, self.layer)
            place = HookPoint(path, layer, "input" if self.kind == "resid_pre" else "output")
        if self.centred and ignores_mean(layer):
            return HookPoint(place.path, place.module, place.side, place.factor, centred=True)
        return place

    def check_layer(self, model: Any) -> None:
        """Make sure that the layer exists.

        Raises:
            FaithfulError: it does not, or the model is laid out in a way that is not known.
        """
        layers = decoder_layers(model)[1]
        if self.layer >= len(layers):
            raise FaithfulError(
                f"{type(model).__name__} has layers 0 to {len(layers) - 1}, not {self.layer}; choose one of them."
            )

    def _module_place(self, model: Any, layer: Module, path: str) -> HookPoint:
        trace = trace_layer(model, self.layer)
        name = self.module
        if name in ATTENTIONS:  # what tools that have one name for all families call it
            name = next((one for one in ATTENTIONS if hasattr(layer, one)), name)
        try:
            module = layer.get_submodule(name)
        except AttributeError:
            names = ", ".join(name for name, _ in layer.named_children())
            raise FaithfulError(
                f"{path} of {type(model).__name__} has no {self.module}; its modules are {names}."
            ) from None
        if name not in trace.outputs or trace.outputs[name].dim() == 2:
            raise FaithfulError(
                f"What {path}.{name} of {type(model).__name__} gives is not one activation of"
                f" {trace.before.shape[-1]:,} dimensions per token, so SAEs there cannot be read; name other SAEs."
            )
        return HookPoint(f"{path}.{name}", module, "output")


def parse_hook(name: str) -> Hook | None:
    """The hook that other tools call by a name; None where it is none of ours.

    - TransformerLens: `blocks.8.hook_resid_pre`; of its bridge to Hugging Face, `blocks.8.hook_out`, `blocks.8.mlp.hook_out`.
    - Hugging Face, SAELens on its models, sparsify: a decoder layer's path, `model.layers.7`, `transformer.h.7`,
      `gpt_neox.layers.7`, `layers.7`, whose output is the residual stream after it; a module's in a layer, `layers.7.mlp`,
      whose own output is meant; each also with `.output` behind it, a layer with `.input`.
    - dictionary_learning: `resid_post_layer_7`, `mlp_out_layer_7`, `attn_out_layer7`, the outputs of these modules.
    """
    if found := re.fullmatch(r"blocks\.(\d+)\.(?:(attn|mlp)\.)?hook_(\w+)", name):
        layer, module, kind = int(found[1]), found[2], found[3]
        if module:
            return Hook(layer, MODULE, module) if kind == "out" else None
        kind = {"in": "resid_pre", "out": "resid_post"}.get(kind, kind)
        return Hook(layer, kind) if kind in KINDS else None
    if found := re.fullmatch(r"(resid_pre|resid_post|resid_out|attn|attention|mlp)(?:_out)?_layer_?(\d+)", name):
        place, layer = found[1].replace("resid_out", "resid_post"), int(found[2])
        return Hook(layer, place) if place in KINDS else Hook(layer, MODULE, place)
    found = re.fullmatch(rf"(?:([\w.]+)\.)?(?:{LISTS})\.(\d+)(?:\.([\w.]+?))??(?:\.(input|output))?", name)
    if not found or set((found[1] or "model").split(".")) - WRAPPERS or "hook_" in (found[3] or ""):
        return None
    layer, module, side = int(found[2]), found[3], found[4]
    if module:
        return None if side == "input" else Hook(layer, MODULE, module)
    return Hook(layer, "resid_pre" if side == "input" else "resid_post")


@torch.no_grad()
def ignores_mean(layer: Module) -> bool:
    """Whether the norms of a layer take the mean over dimensions off what they get (LayerNorm; RMSNorm does not)."""
    for module in layer.modules():
        weight = getattr(module, "weight", None)
        if "norm" in type(module).__name__.lower() and weight is not None and weight.dim() == 1:
            x = torch.linspace(-2, 2, len(weight), device=weight.device).to(weight.dtype)[None]
            return torch.allclose(module(x), module(x + 1), atol=0.05, rtol=0.05)
    return False
