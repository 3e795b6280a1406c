"""What each type of a field looks like on a command line: one table, read from left to right and from right to left."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.quantities import parse_count, parse_integers, parse_numbers
from faithful.options.marks import COUNT, COUNT_OR_NONE, NAMES, PLACE


@dataclass(frozen=True)
class Kind:
    """A type as it is typed.

    Attributes:
        item: the type of the value, or of each one in a list of them.
        parsed_as: what the parser of the command line makes of each text: int, float, str, Path or bool.
        read: (what was parsed, name of the option) → the value; raises `FaithfulError` for what is none.
        write: the value → the texts to type, each after the option's name.
        repeats: whether it may be typed several times; `read` is then given a list.
        is_count: whether it is a whole number that may be typed as 20k.
    """

    item: type[Any]
    parsed_as: type[Any]
    read: Callable[[Any, str], Any] = lambda parsed, option: parsed
    write: Callable[[Any], list[str]] = lambda value: [str(value)]
    repeats: bool = False
    is_count: bool = False


def number(value: float) -> str:
    """The shortest text that is read as this number again."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def integers(values: tuple[int, ...]) -> str:
    """Whole numbers as a list; three or more that follow each other as a range, 0-5."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def count_or_none(text: str) -> int:
    """A count, or 0."""
    return 0 if text.strip() == "0" else parse_count(text)


def as_place(path: Path) -> str:
    """A path that no command takes for the name of a run: `./exp`."""
    return str(path) if "/" in str(path) else f"./{path}"


def _names(parsed: list[str], option: str) -> tuple[str, ...]:
    found = [part.strip() for text in parsed for part in text.split(",")]
    return tuple(filter(None, found)) if found != ["none"] else ()


_repeated = Kind(str, str, lambda parsed, option: tuple(parsed), lambda value: list(map(str, value)), True)
KINDS: dict[Any, Kind] = {
    int: Kind(int, int),
    float: Kind(float, float, write=lambda value: [number(value)]),
    str: Kind(str, str),
    Path: Kind(Path, Path),
    PLACE: Kind(Path, str, write=lambda value: [as_place(value) if isinstance(value, Path) else value]),
    bool: Kind(bool, bool),
    COUNT: Kind(int, str, lambda parsed, option: parse_count(parsed), is_count=True),
    COUNT_OR_NONE: Kind(int, str, lambda parsed, option: count_or_none(parsed), is_count=True),
    NAMES: Kind(str, str, _names, lambda value: [",".join(value) or "none"], True),
    tuple[int, ...]: Kind(
        int, str, lambda parsed, option: parse_integers(",".join(parsed), option), lambda value: [integers(value)], True
    ),
    tuple[float, ...]: Kind(
        float,
        str,
        lambda parsed, option: parse_numbers(",".join(parsed), option),
        lambda value: [",".join(map(number, value))],
        True,
    ),
    tuple[str, ...]: _repeated,
    tuple[str | Path, ...]: _repeated,
    tuple[Path, ...]: Kind(Path, Path, lambda parsed, option: tuple(parsed), lambda value: list(map(str, value)), True),
}
