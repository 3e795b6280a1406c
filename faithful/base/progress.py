"""How long work tells what it does, without printing: the command line draws it, tests ignore it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A point in time of a piece of work.

    Attributes:
        step: what is being done, e.g. `sampling train`.
        done, total: in `unit`.
        unit: `tokens` unless said.
        note: a sentence to show as it is, instead of how far the work is.
        cells: of a training, name and latest figures of each SAE under way.
        workers: of a generation, what each is doing: `worker`, `node`, `state` and tokens per second (`rate`).
    """

    step: str
    done: int
    total: int
    unit: str = "tokens"
    note: str = ""
    cells: Sequence[Mapping[str, Any]] = ()
    workers: Sequence[Mapping[str, Any]] = ()


Reporter = Callable[[Progress], None]
Tally = Callable[[int, int], None]
"""Told how much is done and the total, by work that does not know what it is a step of: see `counted`."""


def silent(progress: Progress) -> None:
    """A reporter that says nothing."""


def uncounted(done: int, total: int) -> None:
    """A counter that says nothing."""


def counted(report: Reporter, step: str, unit: str) -> Tally:
    """A counter that reports a step in its unit."""
    return lambda done, total: report(Progress(step, done, total, unit))


def within(report: Reporter, name: str) -> Reporter:
    """A reporter for a part of the work, whose steps are named after it."""
    return lambda point: report(replace(point, step=f"{name}: {point.step}"))


def remarks_of(report: Reporter) -> Reporter:
    """Tells what is to be shown as it is, and not how far the work is."""
    return lambda point: report(point) if point.note else None


def remark(text: str) -> Progress:
    """A sentence to show as it is."""
    return Progress("note", 0, 0, note=text)
