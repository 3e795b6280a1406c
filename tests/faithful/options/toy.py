"""A configuration to try the options on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, BY_CODE_ALONE, SETTING, Count, CountOrNone, Names, names, panel


@dataclass(frozen=True)
class ToyConfig:
    """What a toy is told."""

    COMMAND: ClassVar = "toy"

    place: Annotated[Path, ARGUMENT]
    """Where it is."""
    tokens: Count | None = None
    """How many [at most].

    A second paragraph is for readers of the code.
    """
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which of
    them."""
    fast: Annotated[bool, names("--fast", "-f"), panel("Speed")] = False
    """Be quick."""
    kept: bool | None = None
    """Keep it."""
    hidden: Annotated["Unknown | None", BY_CODE_ALONE] = None  # type: ignore[name-defined]  # noqa: F821
    """Nobody types it."""


@dataclass(frozen=True)
class ToyWithOneMore(ToyConfig):
    """The same and one option more: one field."""

    colours: tuple[str, ...] = ()
    """Colour; repeat it."""


@dataclass(frozen=True)
class ToyOfSettings:
    """What is stated with `--set`."""

    COMMAND: ClassVar = "toy"

    depth: Annotated[CountOrNone, SETTING] = 3
    """How deep."""
    shades: Annotated[Names, SETTING] = ()
    """Which of them."""
    heat: Annotated[float, SETTING] = 0.5
    """How hot."""
    sure: Annotated[bool, SETTING] = False
    """Whether."""
    home: Annotated[Path | None, SETTING] = None
    """Where."""
    parts: Annotated[tuple[int, ...], SETTING] = ()
    """How many of each."""
    wide: Annotated[Count, SETTING] = 1
    """How wide."""
