"""What a configuration's field says of how it is typed, where its name and its type do not say it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

COUNT, COUNT_OR_NONE, NAMES, PLACE = "count", "count or none", "names", "place"

Count = Annotated[int, COUNT]
"""A positive whole number that may be typed as 20k or 1e8."""
CountOrNone = Annotated[int, COUNT_OR_NONE]
"""The same, and 0."""
Names = Annotated[tuple[str, ...], NAMES]
"""Names without commas, typed with commas between them or one after another; `none` is none at all."""
Place = Annotated[Path, PLACE]
"""A folder, or a run by its name alone: the command is given the text as it was typed."""


@dataclass(frozen=True)
class Typed:
    """How a field is typed. Several may stand in one `Annotated`; each says what it says.

    Attributes:
        names: of the option, as `-y` or `--rolling/--drain` for a flag and its contrary; by default `--` and the field's.
        panel: of the help.
        metavar: what the help calls its value.
        argument: it has no name and is told by its place.
        may_be_missing: the command knows what to take for a field without a default.
        setting: it is typed as `--set NAME=VALUE`.
        by_code_alone: it cannot be typed.
    """

    names: tuple[str, ...] = ()
    panel: str | None = None
    metavar: str | None = None
    argument: bool = False
    may_be_missing: bool = False
    setting: bool = False
    by_code_alone: bool = False


ARGUMENT = Typed(argument=True)
MAY_BE_MISSING = Typed(may_be_missing=True)
SETTING = Typed(setting=True)
BY_CODE_ALONE = Typed(by_code_alone=True)


def names(*typed: str) -> Typed:
    """Other names than the field's."""
    return Typed(names=typed)


def panel(title: str) -> Typed:
    """The panel of the help that a field stands in."""
    return Typed(panel=title)
