"""What a value read from JSON or TOML must look like, told by type hints: dataclasses, TypedDicts and limits of numbers.

A validator of our own, because reading a corpus or an SAE belongs to the core, which has five packages: a schema library
that may be missing would need a second reader that accepts other things.
"""

import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from faithful.base.quantities import LARGEST

SHOWN = 60
_WORDS = {
    str: "text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    types.NoneType: "null",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Between:
    """A number from `least` to `most`, both included."""

    least: float = -math.inf
    most: float = math.inf

    def allows(self, value: Any) -> bool:
        """Whether a number is in it."""
        return bool(self.least <= value <= self.most)

    def __str__(self) -> str:
        if self.most in (math.inf, LARGEST):
            return f"of at least {self.least}"
        return f"from {self.least} to {self.most}"


@dataclass(frozen=True)
class Matches:
    """Text that matches a pattern as a whole.

    Attributes:
        pattern: a regular expression.
        called: what such a text is, for a message.
    """

    pattern: str
    called: str

    def allows(self, value: Any) -> bool:
        """Whether a text is of it."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return f"that is {self.called}"


Count = Annotated[int, Between(0, LARGEST)]
Positive = Annotated[int, Between(1, LARGEST)]
Share = Annotated[float, Between(0, 1)]
NotNegative = Annotated[float, Between(0)]
Sha256 = Annotated[str, Matches(r"[0-9a-f]{64}", "a SHA-256 in hex digits")]
Text = Annotated[str, Matches(r"[^\x00-\x1f\x7f]*", "of one line")]
Name = Annotated[str, Matches(r"[^\x00-\x1f\x7f/]+", "a name")]


class Misfit(ValueError):
    """What is wrong with a value, and where it stands."""


def check(value: Any, hint: Any, key: str = "") -> None:
    """Compare a value of JSON with a type hint.

    Dataclasses are closed: each field without a default must be there, and nothing else. TypedDicts are open: their required
    keys must be there, those that are must fit, and others are left alone. Whole numbers lie within 64 bits, and numbers are
    finite; a whole number is a number, true and false are none.

    Args:
        value: as `json.loads` or `tomllib.loads` gives it.
        hint: what it must be.
        key: its place, for the message: `shards.train[0].bytes`.

    Raises:
        Misfit: it is something else.
    """
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin in (NotRequired, Required):
        check(value, args[0], key)
    elif origin is Annotated:
        check(value, args[0], key)
        for limit in args[1:]:
            if not limit.allows(value):
                raise _other(key, value, f"{_called(args[0])} {limit}")
    elif origin in (Union, types.UnionType):
        _check_union(value, args, key)
    elif origin is Literal:
        if not any(value == one and type(value) is type(one) for one in args):
            raise _other(key, value, " or ".join(map(repr, args)))
    elif is_dataclass(hint) or is_typeddict(hint):
        _check_keys(value, hint, key)
    elif not _is_kind(value, origin or hint):
        raise _other(key, value, _called(hint))
    elif origin is dict:
        for name, inner in value.items():
            check(name, args[0], f"a key of {key}" if key else "a key")
            check(inner, args[1], _below(key, name))
    elif origin is list or (origin is tuple and args[-1] is ...):
        for place, inner in enumerate(value):
            check(inner, args[0], f"{key}[{place}]")
    elif origin is tuple:
        if len(value) != len(args):
            raise _other(key, value, f"a list of {len(args)}")
        for place, (inner, wanted) in enumerate(zip(value, args, strict=True)):
            check(inner, wanted, f"{key}[{place}]")


def shown(value: Any) -> str:
    """A value in a message: short, on one line, without what a terminal would obey."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list) and len(value) > 3:
        return f"a list of {len(value)}"
    try:
        text = ascii(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _check_union(value: Any, hints: tuple[Any, ...], key: str) -> None:
    """A value that fits one of several; where one alone is of its kind, its own complaint is the clearest."""
    near = [hint for hint in hints if _is_kind(value, _kind(hint))]
    if len(near) == 1:
        check(value, near[0], key)
        return
    for hint in near:
        try:
            check(value, hint, key)
            return
        except Misfit:
            continue
    raise _other(key, value, " or ".join(dict.fromkeys(_called(hint) for hint in hints)))


def _check_keys(value: Any, hint: Any, key: str) -> None:
    if not isinstance(value, Mapping):
        raise _other(key, value, "an object")
    hints, required = _keys(hint)
    for name in required:
        if name not in value:
            raise Misfit(f"`{_below(key, name)}` is missing")
    for name, inner in value.items():
        if name in hints:
            check(inner, hints[name], _below(key, name))
        elif is_dataclass(hint):
            raise Misfit(f"`{_below(key, name)}` is not known")


@cache
def _keys(hint: Any) -> tuple[Mapping[str, object], list[str]]:
    """Hints of an object's keys, and those that must be there."""
    hints = get_type_hints(hint, include_extras=True)
    if is_dataclass(hint):
        has_none = (field for field in fields(hint) if field.default is MISSING and field.default_factory is MISSING)
        return hints, [field.name for field in has_none]
    return hints, sorted(hint.__required_keys__)


def _kind(hint: Any) -> Any:
    """The plain type behind a hint."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _kind(get_args(hint)[0])
    if origin is Literal:
        return type(get_args(hint)[0])
    return dict if is_dataclass(hint) or is_typeddict(hint) else origin or hint


def _is_kind(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and abs(value) <= LARGEST
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= 1e308
    if kind is Path:
        return isinstance(value, str) and "\0" not in value
    if kind in (list, tuple):
        return isinstance(value, list | tuple)
    return isinstance(value, types.NoneType if kind is None else kind)


def _other(key: str, value: Any, wanted: str) -> Misfit:
    return Misfit(f"{f'`{key}` is' if key else 'it is'} {shown(value)}, and {wanted} is meant")


def _called(hint: Any) -> str:
    kind = types.NoneType if hint is None else _kind(hint)
    if get_origin(hint) is Annotated:
        return f"{_called(get_args(hint)[0])} {' '.join(map(str, get_args(hint)[1:]))}"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _below(key: str, name: str) -> str:
    """Place of a key in an object; what could not stand in a sentence is cut."""
    told = name if re.fullmatch(r"[\w.-]{1,60}", name, re.ASCII) else shown(name)
    return f"{key}.{told}" if key else told
