"""Jobs that do not stop each other: one after the other here, or by workers that take the next one when they are done."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from faithful.base.errors import FaithfulError, sentence_of
from faithful.base.progress import Reporter, remark
from faithful.executor.protocol import Executor, Link, Share, Worker, is_fault
from faithful.executor.where import current_place

Work = Callable[[Any, Any, Reporter], Any]
"""A function of a module: (what all jobs share, a job, a function that takes progress) → what comes of it, to be pickled."""
T = TypeVar("T")
DEATHS_ALLOWED = 3
"""For each worker, between two jobs that are done, where others do what a dead one had in hand."""
ROOM_SECONDS = 10.0
"""How long no worker has a place before that is said."""


def in_turn(work: Callable[[T], None], jobs: Iterable[T]) -> None:
    """Do jobs one after the other, also those after one that fails.

    Raises:
        FaithfulError: what the jobs that failed raised, at the end; a fault in the program stops them at once.
    """
    failures = []
    for job in jobs:
        try:
            work(job)
        except Exception as error:
            if (sentence := sentence_of(error)) is None:
                raise
            failures.append(sentence)
    _refuse(failures)


class Crew:
    """Workers that do jobs of one kind; they stay for the next jobs until the context ends.

    Args:
        work: what is done with a job.
        shared: what all jobs share; each worker has it once.
        workers: how many, None for as many as is usual where work is handed out; on this machine one does its jobs here,
            and the first that fails stops it.
        share: what each has of the machine.
        name: of the workers, for what is said of them.
        executor: what starts them, by default that of where work is handed out.

    Attributes:
        inherits: whether the work is done with what this process has loaded when it asks for the first job.
    """

    def __init__(
        self, work: Work, shared: Any, workers: int | None, share: Share, name: str, executor: Executor | None = None
    ) -> None:
        self.work, self.shared, self.share, self.name = work, shared, share, name
        self.count = current_place().count(workers, share)
        self.executor = executor or current_place().executor(name)
        self.workers: list[Worker] = []
        self.ready: list[Worker] = []
        self.is_alone = self.count == 1 and current_place().is_here
        self.inherits = self.is_alone or share.is_forked

    def __enter__(self) -> "Crew":
        self.executor.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.executor.__exit__(*error)

    def run(self, jobs: Sequence[Any], report: Reporter) -> list[Any]:
        """What `work` returned for each of some jobs, which are begun in this order.

        Args:
            jobs: to be pickled.
            report: told whatever they tell.

        Raises:
            FaithfulError: what jobs raised, or that workers died, at the end: the others are done first.
        """
        done = dict(self.each(jobs, report))
        return [done[place] for place in range(len(jobs))]

    def each(self, jobs: Sequence[Any], report: Reporter) -> Iterator[tuple[int, Any]]:
        """The same one by one, as they are done: the place of the job and what came of it. Where there is no room for any
        worker yet, `report` is told so."""
        if self.is_alone:
            for place, job in enumerate(jobs):
                yield place, self.work(self.shared, job, report)
            return
        waiting, failures, deaths = deque(enumerate(jobs)), list[str](), 0
        busy: dict[Worker, tuple[int, Any]] = {}
        self._hire(len(jobs))
        self._hand_out(waiting, busy)
        quiet_until = time.monotonic() + ROOM_SECONDS
        while busy or (waiting and self.workers):
            if any(worker.node for worker in self.workers):
                quiet_until = max(quiet_until, time.monotonic() + ROOM_SECONDS)
            elif time.monotonic() > quiet_until:
                quiet_until = math.inf
                report(remark(f"No node has room for a {self.name} process yet; it begins when others make some."))
            for worker, kind, content in self.executor.events(1.0):
                if kind == "told":
                    report(content)
                    continue
                job = busy.pop(worker, None)
                if kind == "done":
                    deaths = 0
                    yield content
                elif kind == "failed":
                    failures.append(content)
                elif kind == "ready":
                    self.ready.append(worker)
                elif kind == "died":
                    self.workers.remove(worker)
                    self.ready = [one for one in self.ready if one is not worker]
                    deaths += 1
                    if not self.executor.replaces or is_fault(content) or deaths > DEATHS_ALLOWED * self.count:
                        failures.append(self._obituary(content))
                    else:
                        waiting.extendleft([job] if job else [])
                        self._hire(len(waiting) + len(busy))
                self._hand_out(waiting, busy)
        if waiting and not failures:
            failures.append(self._obituary(None))
        _refuse(failures)

    def _hire(self, jobs: int) -> None:
        """Start the workers that are lacking for so many jobs."""
        for number in range(len(self.workers), min(self.count, jobs)):
            self.workers.append(self.executor.start(number, self.share, _take_jobs, self.work, self.shared, self.share))

    def _hand_out(self, waiting: deque[tuple[int, Any]], busy: dict[Worker, tuple[int, Any]]) -> None:
        """Give those that are ready and have nothing to do a job each: one that waits for a place could wait forever."""
        for worker in self.ready:
            if waiting and worker not in busy and worker.tell("job", waiting[0]):
                busy[worker] = waiting.popleft()

    def _obituary(self, how: int | str | None) -> str:
        how = how if isinstance(how, str) else f"exit status {how}"
        return (
            f"A {self.name} process died ({how}); run the same command again to go on, with fewer --workers"
            " if memory ran out."
        )


def run_jobs(
    work: Work,
    jobs: Sequence[Any],
    workers: int | None,
    report: Reporter,
    *,
    share: Share,
    name: str,
    shared: Any = None,
) -> None:
    """Do jobs with a crew that is there for them alone; see `Crew`."""
    with Crew(work, shared, workers, share, name) as crew:
        crew.run(jobs, report)


def _take_jobs(link: Link, work: Work, shared: Any, share: Share) -> None:
    """What a worker does: one job after the other until it is told to stop."""
    import torch

    torch.set_num_threads(share.threads)
    link.say("ready")
    while True:
        kind, content = link.hear()
        if kind == "stop":
            return
        place, job = content
        try:
            found = work(shared, job, lambda point: link.say("told", point))
        except Exception as error:
            if (sentence := sentence_of(error)) is None:
                raise
            link.say("failed", sentence)
        else:
            link.say("done", (place, found))


def _refuse(failures: list[str]) -> None:
    if failures:
        raise FaithfulError(" ".join(dict.fromkeys(failures)))
