"""A configuration as the command line that states it."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from faithful.options.fields import Option, options_of

WIDTH = 100
"""Characters of a line of a command that is folded."""


def command_line(config: Any, /, **also: Any) -> str:
    """The command that states a configuration: all that is no default.

    Args:
        config: a configuration, or its class for a command that states `also` alone.
        also: fields to state besides or otherwise (None is not stated), and options that the command has of its own.

    Raises:
        ValueError: a value that cannot be typed.
    """
    return " ".join(_words(config, also))


def folded(config: Any, /, **also: Any) -> str:
    """The same on several lines, for a shell."""
    lines = [""]
    for word in _words(config, also):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n  ".join(lines)


def _words(config: Any, also: Mapping[str, object]) -> list[str]:
    """The command's name, its arguments, and each option with its value."""
    kind: Any = config if isinstance(config, type) else type(config)
    stated = {} if config is kind else _stated(config)
    stated |= {name: value for name, value in also.items() if value is not None}
    options = {option.name: option for option in options_of(kind)}
    arguments, words = (
        [
            word
            for name, option in options.items()
            if name in stated and bool(option.names) == is_named
            for word in _typed(option, stated[name])
        ]
        for is_named in (False, True)
    )
    words += [_extra(name, value) for name, value in stated.items() if name not in options]
    if any(shlex.split(one)[0].startswith("-") for one in arguments):
        return [f"faithful {kind.COMMAND}", *words, "--", *arguments]
    return [f"faithful {kind.COMMAND}", *arguments, *words]


def _stated(config: Any) -> dict[str, object]:
    """The fields that are no defaults."""
    stated = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if getattr(config, field.name) != field.default
    }
    for name in stated.keys() - {option.name for option in options_of(config.__class__)}:
        raise ValueError(f"{type(config).__name__}.{name} cannot be typed.")
    return stated


def _typed(option: Option, value: Any) -> list[str]:
    if option.kind.parsed_as is bool:
        yes, _, no = option.names[0].partition("/")
        if not (value or no):
            raise ValueError(f"{option.name}={value} cannot be typed.")
        return [yes if value else no]
    texts = [shlex.quote(text) for text in option.kind.write(value)]
    if option.is_setting:
        return [f"--set {option.name}={text}" for text in texts]
    return [f"{option.names[0]} {text}" for text in texts] if option.names else texts


def _extra(name: str, value: Any) -> str:
    """An option of the command that is no field of its configuration."""
    option = f"--{name.replace('_', '-')}"
    return option if value is True else f"{option} {shlex.quote(str(value))}"
