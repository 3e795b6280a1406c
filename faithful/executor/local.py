"""Jobs that do not stop each other: one after the other, or in processes with a GPU each."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from faithful.base.errors import FaithfulError, sentence_of
from faithful.base.files import reason_of
from faithful.executor.child import start_child

Told = Callable[[Any], None]
Work = Callable[[Any, int, Told], None]
T = TypeVar("T")


def in_turn(work: Callable[[T], None], jobs: Iterable[T]) -> None:
    """Do jobs one after the other, also those after one that fails.

    Raises:
        FaithfulError: what the jobs that failed raised, at the end.
    """
    failures = []
    for job in jobs:
        try:
            work(job)
        except FaithfulError as error:
            failures.append(str(error))
    _refuse(failures)


def spread(work: Work, jobs: Sequence[Any], workers: int, report: Told) -> None:
    """Do jobs in processes of their own, each of which takes the next one when it is done, and pass on what they tell.

    Args:
        work: a function of a module; called with a job, the worker's number and a function that takes progress.
        jobs: picklable, begun in this order.
        workers: processes.
        report: told whatever the jobs tell.

    Raises:
        FaithfulError: what jobs raised, or workers died, at the end: the others are done first.
    """
    waiting, failures = list(jobs), []
    pipes: dict[Any, Any] = {}
    try:
        for number in range(min(workers, len(jobs))):
            ours, theirs = Pipe()
            try:
                process = start_child(_serve, work, number, theirs, name=f"training-{number}")
            except OSError as error:
                raise FaithfulError(f"Cannot start a process: {reason_of(error)}; use fewer --workers.") from error
            theirs.close()
            pipes[ours] = process
            _assign(ours, waiting)
        while pipes:
            ready: list[Any] = wait(list(pipes))
            for pipe in ready:
                try:
                    kind, content = pipe.recv()
                except (EOFError, ConnectionError):
                    failures += _ended(pipes.pop(pipe))
                    continue
                if kind == "told":
                    report(content)
                    continue
                if kind == "failed":
                    failures.append(content)
                _assign(pipe, waiting)
    finally:
        for process in pipes.values():
            process.terminate()
            process.join()
    _refuse(failures)


def _assign(pipe: Any, waiting: list[Any]) -> None:
    """Give a worker the next job, or let it go."""
    with contextlib.suppress(ConnectionError):  # whoever is dead is heard of
        pipe.send(waiting[0] if waiting else None)
        del waiting[:1]


def _ended(process: Any) -> list[str]:
    """What is to be said of a worker that is no more."""
    process.join()
    if not process.exitcode:
        return []
    return [
        f"A training process died (exit status {process.exitcode}); run the same command again to go on, with fewer"
        " --workers if memory ran out."
    ]


def _serve(work: Work, number: int, pipe: Connection) -> None:
    with contextlib.suppress(EOFError, ConnectionError):  # whoever gave the work is gone
        while (job := pipe.recv()) is not None:
            pipe.send(_outcome(work, job, number, pipe))


def _outcome(work: Work, job: Any, number: int, pipe: Connection) -> tuple[str, str | None]:
    try:
        work(job, number, lambda point: pipe.send(("told", point)))
    except Exception as error:
        sentence = None if isinstance(error, ConnectionError) else sentence_of(error)
        if sentence is None:
            raise
        return "failed", sentence
    return "done", None


def _refuse(failures: list[str]) -> None:
    if failures:
        raise FaithfulError(" ".join(dict.fromkeys(failures)))
