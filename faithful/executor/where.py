"""Where work is handed out to: workers of this machine, or whatever a `with at(place)` around the work says."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol

from faithful.base.devices import check_device, default_device, processors
from faithful.base.errors import FaithfulError
from faithful.executor.local import LocalExecutor
from faithful.executor.protocol import Executor, Share


class Place(Protocol):
    """Machines that work can be done on.

    Attributes:
        is_here: whether they are this machine, on which a single worker's jobs need no process of their own.
    """

    is_here: bool

    @property
    def device(self) -> str | None:
        """Of work that states none; None for what this machine has."""

    def executor(self, name: str) -> Executor:
        """What starts workers there; `name` is what they are called."""

    def count(self, workers: int | None, share: Share) -> int:
        """How many workers there are to be: as stated, else by default.

        Raises:
            FaithfulError: no machine there has room for one.
        """

    def gpus(self, each: int = 1) -> int:
        """GPUs there for workers that have `each` of them on one machine."""

    def share(self, device: str, workers: int | None, threads: int | None = None, *, inherits: bool = False) -> Share:
        """What each worker has; see `share_of`."""

    def check_device(self, name: str | None) -> str:
        """The device of the work, by default what is there.

        Raises:
            FaithfulError: neither `cpu` nor `cuda`, or no GPU there for `cuda`.
        """

    def processor(self, device: str) -> str:
        """What workers compute with, one kind for all: the CPU's vector instructions, or the name of the GPUs.

        Raises:
            FaithfulError: another place has several kinds, or no GPU for `cuda`.
        """

    def refuse_unseen(self, *folders: Path) -> None:
        """Refuse folders that a worker could not see; the first is written to, and made where it is missing.

        Raises:
            FaithfulError: there is one.
        """


class Here:
    """This machine."""

    is_here = True
    device: str | None = None

    def executor(self, name: str) -> LocalExecutor:
        """Processes of this machine."""
        return LocalExecutor(name)

    def count(self, workers: int | None, share: Share) -> int:
        """One where nothing is stated."""
        return workers or 1

    def gpus(self, each: int = 1) -> int:
        """GPUs that torch sees, whole groups of them."""
        import torch

        there = torch.cuda.device_count() if default_device() == "cuda" else 0
        return there - there % each

    def share(self, device: str, workers: int | None, threads: int | None = None, *, inherits: bool = False) -> Share:
        """An equal share of this machine for each worker: its CPU threads divided, a GPU each."""
        import torch

        if device == "cuda":
            refuse_missing_gpus(workers)
        return Share(device, threads or max(1, torch.get_num_threads() // (workers or 1)), inherits=inherits)

    def check_device(self, name: str | None) -> str:
        """See `faithful.base.devices`."""
        return check_device(name)

    def processor(self, device: str) -> str:
        """Of the CPU, or of the first GPU."""
        return next(iter(processors(device)), "no GPU here")

    def refuse_unseen(self, *folders: Path) -> None:
        """All of them are seen."""


_place: ContextVar[Place] = ContextVar("place", default=Here())  # noqa: B039


def current_place() -> Place:
    """Where work is handed out to now."""
    return _place.get()


@contextmanager
def at(where: Place) -> Iterator[None]:
    """Hand out work there meanwhile."""
    before = _place.set(where)
    try:
        yield
    finally:
        _place.reset(before)


def share_of(device: str, workers: int | None, threads: int | None = None, *, inherits: bool = False) -> Share:
    """What each worker has of where work is handed out to: on this machine an equal share, its CPU threads divided, a GPU
    each; on a cluster `threads` CPUs, by default one, or a GPU.

    Args:
        device: `cpu` or `cuda`.
        workers: how many share it; None for one.
        threads: CPU threads of each.
        inherits: see `Share`.

    Raises:
        FaithfulError: there are fewer GPUs.
    """
    return current_place().share(device, workers, threads, inherits=inherits)


def refuse_unsharded(device: str, workers: int | None) -> None:
    """Refuse to spread a model over the GPUs where there are not several, or other processes shall have some.

    Raises:
        FaithfulError: another machine's GPUs, fewer than two, several workers; accelerate is not installed.
    """
    there = current_place().gpus() if device == "cuda" else 0
    if not current_place().is_here:
        raise FaithfulError("--shard-model spreads a model over the GPUs of this machine; leave --executor ray out.")
    if there < 2:
        found = "there is one" if there else "this work has none"
        raise FaithfulError(f"--shard-model spreads a model over several GPUs, and {found}; leave it out.")
    if (workers or 1) > 1:
        raise FaithfulError(f"--shard-model gives one process all {there} GPUs; leave --workers out.")
    if importlib.util.find_spec("accelerate") is None:
        raise FaithfulError("--shard-model needs accelerate; install it with `pip install 'faithful-sae[sharded]'`.")


def refuse_missing_gpus(workers: int | None, each: int = 1) -> None:
    """Refuse work on GPUs that are not there: every worker has `each` of its own.

    Raises:
        FaithfulError: torch sees no GPU, or too few for the workers.
    """
    there = current_place().gpus()
    if not there:
        where = "here" if current_place().is_here else "in the cluster"
        raise FaithfulError(f"torch sees no GPU {where}; use --device cpu, or run this where there is one.")
    most = current_place().gpus(each) // each
    if (workers or 1) <= most:
        return
    wanted = f"--workers {workers or 1} needs as many GPUs"
    if each > 1:
        wanted = f"--workers {workers or 1} with --tensor-parallel {each} needs {(workers or 1) * each} GPUs"
        wanted += "" if current_place().is_here else ", those of a worker on one node"
    largest = max(many for many in range(1, there + 1) if current_place().gpus(many))
    advice = f"use at most --workers {most}" if most else f"use at most --tensor-parallel {largest}"
    raise FaithfulError(f"{wanted}, and there are {there}; {advice}.")
