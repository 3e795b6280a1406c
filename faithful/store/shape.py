"""What the SAEs of a corpus and a hook differ in beside their seed: width, k and variant, and how folders call it."""

import re
from collections.abc import Mapping, Set
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from faithful.sae.variant import DEFAULT, Variant, kind_of


class Shape(NamedTuple):
    """What the SAEs of a stack have in common.

    Attributes:
        d_sae: number of latents.
        k: latents kept per token, as asked for.
        variant: with its parameters.
    """

    d_sae: int
    k: int
    variant: Variant

    @property
    def name(self) -> str:
        """`f12288-k16`, `f12288-k16-orthogonal-a0.2`."""
        return shape_name(self.d_sae, self.k, self.variant.name, asdict(self.variant))


def shape_name(d_sae: int, k: int, variant: str = DEFAULT, parameters: Mapping[str, Any] | None = None) -> str:
    """What tells SAEs of one hook apart, for folders and tables; of the default variant width and k alone."""
    plain = f"f{d_sae}-k{k}"
    return plain if variant == DEFAULT else f"{plain}-{short_name(variant, parameters or {})}"


def short_name(variant: str, parameters: Mapping[str, Any]) -> str:
    """A variant and those of its parameters that are not by default, each called by the shortest beginning that no other
    parameter has: `orthogonal-a0.2`. Of a variant that this version does not have, all of them, in full."""
    known = {field.name: field.default for field in fields(kind_of({"variant": variant}))}
    changed = [name for name in known if name in parameters and parameters[name] != known[name]]
    parts = [_beginning(name, known.keys() | parameters.keys()) + _text(parameters[name]) for name in changed]
    parts += [name + _text(parameters[name]) for name in sorted(parameters.keys() - known.keys())]
    return "-".join([variant, *parts])


def _beginning(name: str, names: Set[str]) -> str:
    starts = (name[:size] for size in range(1, len(name)) if sum(one.startswith(name[:size]) for one in names) == 1)
    return next(starts, name)


def _text(value: Any) -> str:
    return re.sub(r"[^\w.+-]", "_", str(value).lower().removesuffix(".0"))
