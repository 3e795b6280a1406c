"""Hooks: the places in a causal LM where activations are read or replaced, named by layer and kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import Module, ModuleList
from torch.utils.hooks import RemovableHandle

from faithful.errors import FaithfulError

KINDS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
ATTENTION = ("attn", "self_attn", "attention")
MLP = ("mlp",)


class Place(NamedTuple):
    """Where in a model a hook is.

    Attributes:
        path: of the module, from the model: `transformer.h.8`.
        module: whose input or output is meant.
        side: `input` or `output`.
    """

    path: str
    module: Module
    side: str

    def on(self, change: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `change` with the activation whenever the model comes by; what it returns takes its place.

        Args:
            change: gets [rows, L, d_in] in the model's dtype; None leaves it as it is.
        """
        if self.side == "input":

            def before(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                new = change(args[0] if args else kwargs["hidden_states"])
                if new is None:
                    return None
                return ((new, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": new})

            return self.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(_: Module, __: Any, output: Any) -> Any:
            new = change(output[0] if isinstance(output, tuple) else output)
            return new if new is None or not isinstance(output, tuple) else (new, *output[1:])

        return self.module.register_forward_hook(after)


@dataclass(frozen=True)
class Hook:
    """Where activations are taken.

    Attributes:
        layer: decoder layer, from 0.
        kind: `resid_pre` (what enters the layer), `resid_post` (what leaves it), `attn_out` or `mlp_out` (what its
            attention or MLP adds to the residual stream, after the norm that some models put there).

    Raises:
        FaithfulError: no such kind, or a layer below 0.
    """

    layer: int
    kind: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FaithfulError(f"'{self.kind}' is not a hook; choose {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
        if self.layer < 0:
            raise FaithfulError(f"There is no layer {self.layer}; layers are counted from 0.")

    @property
    def name(self) -> str:
        """`resid_pre.8`."""
        return f"{self.kind}.{self.layer}"

    @property
    def tl_name(self) -> str:
        """TransformerLens' name, `blocks.8.hook_resid_pre`."""
        return f"blocks.{self.layer}.hook_{self.kind}"

    def module_path(self, model: Any) -> str:
        """Module and side, `transformer.h.8.input`, for provenance.

        Raises:
            FaithfulError: see `place`.
        """
        place = self.place(model)
        return f"{place.path}.{place.side}"

    def place(self, model: Any) -> Place:
        """The place in a Hugging Face causal LM.

        Raises:
            FaithfulError: the layer does not exist, or the model is laid out in a way that is not known.
        """
        path, layers = decoder_layers(model)
        if self.layer >= len(layers):
            raise FaithfulError(
                f"{type(model).__name__} has layers 0 to {len(layers) - 1}, not {self.layer}; choose one of them."
            )
        path, layer = f"{path}.{self.layer}", layers[self.layer]
        if self.kind.startswith("resid"):
            return Place(path, layer, "input" if self.kind == "resid_pre" else "output")
        if hasattr(layer, "post_feedforward_layernorm"):
            names: tuple[str, ...] = (
                "post_attention_layernorm" if self.kind == "attn_out" else "post_feedforward_layernorm",
            )
        else:
            names = ATTENTION if self.kind == "attn_out" else MLP
        for name in names:
            if hasattr(layer, name):
                return Place(f"{path}.{name}", getattr(layer, name), "output")
        raise FaithfulError(
            f"{type(layer).__name__} has no module named {' or '.join(names)}, so {self.name} cannot be found; use"
            " resid_pre or resid_post."
        )


def decoder_layers(model: Any) -> tuple[str, ModuleList]:
    """The list of decoder layers of a causal LM, and its path.

    Raises:
        FaithfulError: there is no such list, or more than one.
    """
    count = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    found = _lists(model, count, model)
    if len(found) > 1 and hasattr(model, "get_decoder"):
        found = _lists(model, count, model.get_decoder())  # not the tower of another sense, with as many layers
    if len(found) != 1:
        raise FaithfulError(
            f"{type(model).__name__} is laid out in a way that is not known: {len(found) or 'no'} lists of {count} layers;"
            " use a model built like GPT-2, GPT-NeoX, Llama, Gemma-2 or Mistral."
        )
    return found[0]


def _lists(model: Any, count: int | None, within: Any) -> list[tuple[str, ModuleList]]:
    """The outermost lists of `count` modules inside one part of a model, by their path from the model."""
    parts = set(within.modules())
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, ModuleList) and len(module) == count and module in parts
    ]
    depth = min((name.count(".") for name, _ in lists), default=0)
    return [(name, module) for name, module in lists if name.count(".") == depth]
