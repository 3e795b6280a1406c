"""Places in a causal LM: modules whose input or output is read or replaced, and what passes there on a few tokens."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch.utils.hooks import RemovableHandle

from faithful.base.errors import FaithfulError

FEW_TOKENS = 12


class Reached(Exception):
    """Ends a forward pass at a hook."""


@dataclass(frozen=True)
class HookPoint:
    """Where in a model a hook is.

    Attributes:
        path: of the module, from the model: `transformer.h.8`.
        module: whose input or output is meant.
        side: `input` or `output`.
        factor: what the layer multiplies this output by before it adds it to the residual stream (Granite); the activation
            is the product.
        centred: the activation's mean over its dimensions is taken off.
    """

    path: str
    module: Module
    side: str
    factor: float = 1.0
    centred: bool = False

    @property
    def name(self) -> str:
        """Module and side, and the factor where there is one, for provenance: `transformer.h.8.input`."""
        return f"{self.path}.{self.side}" + (f" × {self.factor:g}" if self.factor != 1 else "")

    def on(self, change: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `change` with the activation whenever the model comes by; what it returns takes its place.

        Args:
            change: gets [rows, L, d_in] in the model's dtype; None leaves it as it is.
        """
        if self.side == "input":

            def before(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                new = self._changed(args[0] if args else kwargs["hidden_states"], change)
                if new is None:
                    return None
                return ((new, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": new})

            return self.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(_: Module, __: Any, output: Any) -> Any:
            is_many = isinstance(output, tuple | list)
            new = self._changed(output[0] if is_many else output, change)
            return new if new is None or not is_many else type(output)([new, *output[1:]])

        return self.module.register_forward_hook(after)

    def _changed(self, given: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor | None:
        activation = given if self.factor == 1 else given * self.factor
        if self.centred:
            activation = activation - activation.mean(-1, keepdim=True)
        new = change(activation)
        return new if new is None or self.factor == 1 else new / self.factor


@contextlib.contextmanager
def forward_as(module: Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a module compute something else meanwhile; what accelerate put in its place before comes back."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


@dataclass
class Trace:
    """What passes a layer on a few tokens.

    Attributes:
        before: what enters the layer, after: what leaves it, following: what enters the next one (None for the last).
        outputs: what its modules give, by their path in the layer, in the order in which they are done; only those that ran
            once and gave something for each token and dimension of the residual stream, in its shape or with rows and tokens
            as one.
    """

    before: Tensor
    after: Tensor
    following: Tensor | None
    outputs: dict[str, Tensor]


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


@torch.no_grad()
def trace_layer(model: Any, number: int) -> Trace:
    """Run a few tokens through a layer and keep what passes.

    Raises:
        FaithfulError: the model cannot be run on tokens alone, a layer runs never or several times in one pass, or what
            passes between layers is not one residual stream [rows, L, d_model].
    """
    layers = decoder_layers(model)[1]
    seen, outputs, counts = _watched(model, layers, number)
    where = f"layer {number} of {type(model).__name__}"
    if "after" not in seen or counts.get("", 0) != 1:
        raise FaithfulError(f"A forward pass runs {where} {counts.get('', 0)} times, not once; use another model.")
    before, after = seen["before"], seen["after"]
    shape = (1, FEW_TOKENS, int(model.config.get_text_config(decoder=True).hidden_size))
    following = seen.get("following")
    for name, tensor in seen.items():
        if tensor is None or tuple(tensor.shape) != shape or not tensor.is_floating_point():
            what = "no tensor" if tensor is None else f"{list(tensor.shape)}"
            verb = {"before": "enters", "after": "leaves", "following": "follows"}[name]
            raise FaithfulError(
                f"What {verb} {where} is {what}, not one residual stream {list(shape)} of rows, tokens and dimensions; such"
                " models are not supported here, use another one."
            )
    if following is not None and not torch.allclose(after, following, rtol=0, atol=0, equal_nan=True):
        raise FaithfulError(
            f"What leaves {where} is not what enters the next: something between the layers changes the residual stream,"
            " which is not supported here; use another model."
        )
    once = {
        name: tensor
        for name, tensor in outputs.items()
        if counts[name] == 1 and tuple(tensor.shape) in (shape, shape[1:]) and tensor.is_floating_point()
    }
    return Trace(before, after, following, once)


def _watched(model: Any, layers: ModuleList, number: int) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, int]]:
    seen: dict[str, Any] = {}
    outputs: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    layer = layers[number]
    is_last = number + 1 == len(layers)
    device = next(model.parameters()).device

    def enter(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen["before"] = _copy(args[0] if args else kwargs.get("hidden_states"), device)

    def give(name: str) -> Callable[..., None]:
        def keep(_: Module, __: Any, output: Any) -> None:
            tensor = _copy(output[0] if isinstance(output, tuple | list) and output else output, device)
            counts[name] = counts.get(name, 0) + 1
            if name == "":
                seen["after"] = tensor
            elif tensor is not None:
                outputs[name] = tensor

        return keep

    def follow(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen["following"] = _copy(args[0] if args else kwargs.get("hidden_states"), device)
        raise Reached

    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids = torch.arange(1, FEW_TOKENS + 1, device=device)[None] * max(1, vocabulary // (FEW_TOKENS + 1))
    with contextlib.ExitStack() as stack:
        stack.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
        for name, module in layer.named_modules():
            stack.callback(module.register_forward_hook(give(name)).remove)
        if not is_last:
            stack.callback(layers[number + 1].register_forward_pre_hook(follow, with_kwargs=True).remove)
        try:
            with torch.no_grad():
                model.base_model(input_ids=ids % vocabulary, use_cache=False)
        except Reached:
            pass
        except Exception as error:  # each family has its own way to want more than tokens
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise FaithfulError(
                f"{type(model).__name__} cannot be run on tokens alone: {reason.rstrip('.')}."
            ) from error
    return seen, outputs, counts


def _copy(value: Any, device: torch.device) -> Tensor | None:
    """A copy on the model's first device: a layer of a model that is spread over several may have another."""
    return value.detach().to(device, copy=True) if isinstance(value, Tensor) else None
