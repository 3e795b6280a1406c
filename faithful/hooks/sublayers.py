"""What attention and MLP of a layer add to the residual stream: which module's output it is, whatever the family calls it.

Names do not tell: families put a norm or a factor behind a module, add the residual stream inside it, or scale that stream.
So a few tokens are run, and the outputs are taken that make up what the layer adds: after − before = factor · (attention +
MLP), up to rounding. Where no two outputs do, there is no such place.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from faithful.base.errors import FaithfulError
from faithful.hooks.hook_points import HookPoint, Trace, decoder_layers, trace_layer

ROUNDINGS = 2


class Sublayer(NamedTuple):
    """A module's output that is added to the residual stream.

    Attributes:
        path: in the layer.
        owner: the module that computes it, before any norm or dropout behind it.
    """

    path: str
    owner: str


class Sublayers(NamedTuple):
    """What a layer adds, in this order; `factor` times both."""

    mixer: Sublayer
    mlp: Sublayer
    factor: float


def sublayer_place(model: Any, number: int, kind: str) -> HookPoint:
    """The place of `attn_out` or `mlp_out` of a layer.

    Raises:
        FaithfulError: no two modules' outputs are what the layer adds, what mixes its tokens is no attention, and see
            `trace_layer`.
    """
    path, layers = decoder_layers(model)
    layer = layers[number]
    trace = trace_layer(model, number)
    if not bool(torch.isfinite(trace.after).all()):
        raise FaithfulError(
            f"Activations of {type(model).__name__} at layer {number} are not finite; run it in float32, or check its"
            " weights."
        )
    found = find_sublayers(layer, trace)
    where = f"layer {number} of {type(model).__name__}"
    if found is None:
        raise FaithfulError(
            f"{kind}.{number} cannot be read: what {where} adds to the residual stream is not what one module of attention"
            " and one of MLP give (it scales the stream, or adds more than two things); use resid_pre or resid_post."
        )
    one = found.mixer if kind == "attn_out" else found.mlp
    if kind == "attn_out" and not _is_attention(layer, one.owner):
        what = f"{one.owner} ({type(layer.get_submodule(one.owner)).__name__})"
        raise FaithfulError(
            f"{kind}.{number} cannot be read: {where} has no attention but {what}; use another layer, or resid_pre."
        )
    if trace.outputs[one.path].dim() == 2:
        raise FaithfulError(
            f"{kind}.{number} cannot be read: {one.path} of {where} gives rows and tokens as one; use resid_pre or"
            " resid_post."
        )
    return HookPoint(f"{path}.{number}.{one.path}", layer.get_submodule(one.path), "output", found.factor)


def find_sublayers(layer: Module, trace: Trace) -> Sublayers | None:
    """The two outputs that a layer adds to the residual stream, those of the outermost modules; None where none do."""
    owners = _owners(layer, trace)
    names = sorted(trace.outputs, key=lambda name: name.count("."))
    order = {name: place for place, name in enumerate(trace.outputs)}
    before, after = trace.before.double(), trace.after.double()
    outputs = {name: tensor.double().view_as(before) for name, tensor in trace.outputs.items()}
    rounding = ROUNDINGS * max(
        torch.finfo(tensor.dtype).eps for tensor in (trace.before, trace.after, *trace.outputs.values())
    )
    for factor in _factors(layer):
        for mlp in names:
            rest = after - factor * outputs[mlp]
            for mixer in names:
                if order[mixer] > order[mlp] or owners[mixer] == owners[mlp]:
                    continue
                added = factor * outputs[mixer]
                if _is_equal(rest, before + added, before.abs() + added.abs() + after.abs(), rounding):
                    return Sublayers(Sublayer(mixer, owners[mixer]), Sublayer(mlp, owners[mlp]), factor)
    return None


def _is_equal(one: Tensor, other: Tensor, size: Tensor, rounding: float) -> bool:
    return bool(((one - other).abs() <= rounding * size).all())


def _factors(layer: Module) -> Iterator[float]:
    """What a layer may multiply both outputs by: nothing, or a number that it keeps (`residual_multiplier`)."""
    yield 1.0
    kept = {value for value in vars(layer).values() if isinstance(value, float) and value not in (0.0, 1.0)}
    yield from sorted(kept)


def _owners(layer: Module, trace: Trace) -> dict[str, str]:
    """For each output the layer's own module that computes it: a norm or dropout hands on what came before it."""
    owners, latest = {}, ""
    for name in _by_child(layer, trace):
        child = name.split(".")[0]
        if not _hands_on(layer, child):
            latest = child
        owners[name] = latest or child
    return owners


def _by_child(layer: Module, trace: Trace) -> list[str]:
    """Outputs in the order in which the layer's own modules are done, each with those inside it."""
    names = list(trace.outputs)
    done = {name: place for place, name in enumerate(names)}

    def place(name: str) -> int:
        child = name.split(".")[0]
        return done.get(child, max(done[one] for one in names if one.split(".")[0] == child))

    return sorted(names, key=place)


def _hands_on(layer: Module, child: str) -> bool:
    kind = type(layer.get_submodule(child)).__name__
    return bool(re.search(r"norm|dropout|identity|^ln_|_ln$", f"{child} {kind}", re.IGNORECASE))


def _is_attention(layer: Module, owner: str) -> bool:
    kind = type(layer.get_submodule(owner)).__name__
    return bool(re.search(r"attn|attention|deltanet", f"{owner} {kind}", re.IGNORECASE))
