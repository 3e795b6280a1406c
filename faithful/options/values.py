"""Values of a table, of TOML or of `--set NAME=VALUE`, as fields of a configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean
from faithful.options.fields import Option
from faithful.options.kinds import Kind, count_or_none

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def read_values(options: Sequence[Option], table: Mapping[str, object], where: str, flag: str = "") -> dict[str, Any]:
    """Values of a table by the name of their field: counts as people write them, lists as tuples.

    Args:
        options: what may be stated.
        table: a value of TOML, or a text, by the name of its field.
        where: what states them, for messages.
        flag: what stands before each `NAME=VALUE` that is typed; '' for a table of TOML.

    Raises:
        FaithfulError: a name that is none of them, or a value of another kind.
    """
    known = {option.name: option for option in options}
    for name in table:
        if name not in known:
            raise FaithfulError(
                f"{where} states '{name}', which is not known; choose among {', '.join(known)}.{did_you_mean(name, known)}"
            )
    return {
        name: read_value(known[name].kind, value, f"{flag} {name}=" if flag else f"{where}.{name} = ")
        for name, value in table.items()
    }


def read_value(kind: Kind, value: Any, typed: str) -> Any:
    """One value of a table as a field has it.

    Args:
        kind: of the field.
        value: of TOML, or a text.
        typed: what stands before it: `train.k = `, `--set k=`.

    Raises:
        FaithfulError: a value of another kind.
    """
    try:
        if not kind.repeats:
            return kind.read(_text_of_count(value), typed) if kind.is_count else _item(kind.item, value)
        if isinstance(value, str):
            return kind.read([value], typed)
        return tuple(_item(kind.item, one) for one in (value if isinstance(value, list) else [value]))
    except (TypeError, ValueError, KeyError, OverflowError):
        from faithful.base.shapes import shown

        wanted = f"a list, each {WORDS[kind.item]}" if kind.repeats else WORDS[kind.item]
        raise FaithfulError(f"{typed.rstrip(' =')} cannot be {shown(value)}; give {wanted}.") from None


def _text_of_count(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return str(value)


def _item(kind: type[Any], value: Any) -> Any:
    """One value; raises one of the errors that `read_value` knows, or `FaithfulError`, for what is none."""
    if kind is bool:
        return value if isinstance(value, bool) else {"true": True, "false": False}[value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    if kind is int:
        if isinstance(value, float):
            raise TypeError
        return value if isinstance(value, int) else count_or_none(value)
    if kind is Path and not isinstance(value, str):
        raise TypeError
    return kind(value)
