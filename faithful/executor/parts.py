"""Work in parts, for batch systems: which of its jobs are this process' own, and how a part ends.

Work that ends in a result of all its jobs asks `own` which of them it is to do, keeps what comes of them, and says so with
`end_part`, which returns only where all of the work was its own. Parts lock the folder that they keep it in together.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from faithful.base.files import locked_together, refuse_local_locks
from faithful.base.quantities import Part

T = TypeVar("T")
_part: ContextVar[Part | None] = ContextVar("part", default=None)


class PartDone(Exception):
    """A part is done, and the work goes no further.

    Attributes:
        done: jobs of the part.
        reused: those of them that were done already.
        left: jobs of the other parts that are not done.
    """

    def __init__(self, done: int, reused: int, left: int) -> None:
        super().__init__(done, reused, left)
        self.done, self.reused, self.left = done, reused, left


@contextmanager
def as_part(part: Part, out: Path) -> Iterator[None]:
    """Do a part meanwhile, in a folder that others may do theirs in at the same time.

    Raises:
        FaithfulError: the folder's locks do not reach other machines.
    """
    refuse_local_locks(out)
    before = _part.set(part)
    try:
        with locked_together(out):
            yield
    finally:
        _part.reset(before)


def is_part() -> bool:
    """Whether a part is being done."""
    return _part.get() is not None


def own(jobs: Sequence[T], order: Callable[[T], int] = lambda _: 0) -> list[T]:
    """Those of some jobs that this process is to do, in the order given: all of them, of a part some that lie together where
    they are sorted by `order`."""
    part = _part.get()
    if not part:
        return list(jobs)
    places = sorted(range(len(jobs)), key=lambda place: order(jobs[place]))
    return [jobs[place] for place in sorted(places[at] for at in part.run_of(len(jobs)))]


def end_part(done: int, reused: int, left: Callable[[], int]) -> None:
    """Go on, unless this was a part.

    Args:
        done, reused: see `PartDone`.
        left: counts the jobs of all parts that are not done.

    Raises:
        PartDone: it was one.
    """
    if _part.get():
        raise PartDone(done, reused, left())
