"""Workers that train: processes with a GPU each, which take the next job when they are done with one."""

from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from faithful.errors import FaithfulError

Told = Callable[[Any], None]
Work = Callable[[Any, int, Told], None]


def spread(work: Work, jobs: Sequence[Any], workers: int, report: Told) -> None:
    """Do jobs in processes of their own and pass on what they tell.

    Args:
        work: a function of a module; called with a job, the worker's number and a function that takes progress.
        jobs: picklable, done in this order as workers become free.
        workers: processes.
        report: told whatever the jobs tell.

    Raises:
        FaithfulError: what a job raised, or a worker died; the others are stopped.
    """
    context = get_context("spawn")
    waiting = list(jobs)
    pipes: dict[Any, Any] = {}
    try:
        for number in range(min(workers, len(jobs))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, number, theirs), daemon=True)
            process.start()
            theirs.close()
            pipes[ours] = process
            ours.send(waiting.pop(0))
        while pipes:
            for pipe in wait(list(pipes)):
                _hear(pipe, pipes, waiting, report)
    finally:
        for process in pipes.values():
            process.terminate()
            process.join()


def _hear(pipe: Any, pipes: dict[Any, Any], waiting: list[Any], report: Told) -> None:
    """Take one message of a worker, and give it its next job, or let it go."""
    try:
        kind, content = pipe.recv()
    except EOFError:
        pipes[pipe].join()
        raise FaithfulError(
            f"A training process died (exit status {pipes[pipe].exitcode}); run the same command again to go on, with"
            " fewer --workers if memory ran out."
        ) from None
    if kind == "told":
        report(content)
    elif kind == "failed":
        raise FaithfulError(content)
    elif waiting:
        pipe.send(waiting.pop(0))
    else:
        pipe.send(None)
        pipes.pop(pipe).join()


def _serve(work: Work, number: int, pipe: Connection) -> None:
    while (job := pipe.recv()) is not None:
        try:
            work(job, number, lambda point: pipe.send(("told", point)))
        except FaithfulError as error:
            pipe.send(("failed", str(error)))
            return
        pipe.send(("done", None))
