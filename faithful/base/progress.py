"""How long work tells what it does, without printing: the command line draws it, tests ignore it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A point in time of a piece of work.

    Attributes:
        step: what is being done, e.g. `sampling train`.
        done, total: in `unit`.
        unit: `tokens` unless said.
        note: a sentence to show as it is, instead of how far the work is.
    """

    step: str
    done: int
    total: int
    unit: str = "tokens"
    note: str = ""


Reporter = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A reporter that says nothing."""
