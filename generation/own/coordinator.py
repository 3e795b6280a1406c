"""The coordinator: hands ranges to workers, gathers samples, commits whole shards. The only writer of a corpus."""

import time
from collections.abc import Callable

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter
from faithful.executor.protocol import Worker, is_fault
from faithful.executor.where import current_place
from faithful.models.spec import ModelSpec
from generation.own.schedule import SplitSchedule
from generation.own.workers import Drawer, start_drawer
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Sample

Commit = Callable[[str, int, list[Sample]], None]
DEATHS_ALLOWED = 3


def draw_all(
    schedules: list[SplitSchedule],
    spec: ModelSpec,
    sampling: Sampling,
    settings: EngineSettings,
    workers: int,
    commit: Commit,
    report: Reporter,
) -> None:
    """Draw everything that the schedules want.

    A worker that dies gives its ranges back and is replaced, up to three times without a committed shard in between; where
    workers are lost for no fault of theirs, so often each. One that ends by a fault of its own ends the work at once.

    Args:
        schedules: one per split, worked on in this order.
        commit: writes a whole shard: (split, number, samples in order) and notes it in the schedule.
        workers: number of processes.
        report: told the tokens in hand after each message.

    Raises:
        FaithfulError: a worker reports an error, or workers keep dying.
    """
    by_split = {schedule.split: schedule for schedule in schedules}
    deaths, told = 0, 0.0
    with current_place().executor("worker") as executor:
        allowed = DEATHS_ALLOWED * (workers if executor.replaces else 1)
        crew = [start_drawer(executor, number, spec, sampling, settings) for number in range(workers)]
        known: dict[Worker, Drawer] = {drawer.worker: drawer for drawer in crew}
        while not all(schedule.done for schedule in schedules):
            for said_by, kind, content in executor.events(1.0):
                worker = known[said_by]
                if kind == "samples":
                    split, shard, samples = content
                    worker.deliver(split, shard, samples)
                    by_split[split].add(shard, samples)
                elif kind == "ready":
                    worker.ready_at = time.monotonic()
                elif kind == "step":
                    worker.in_flight = content
                elif kind == "want":
                    worker.idle = True
                elif kind == "more" and not _assign(worker, schedules):
                    worker.decline()
                elif kind == "failed":
                    raise FaithfulError(content)
                elif kind == "died" and worker in crew:
                    if is_fault(content):
                        raise FaithfulError(
                            f"A worker ended by a fault of its own (exit code {content}), which the lines above tell, or on"
                            " a cluster its node's Ray logs. Committed shards are kept."
                        )
                    deaths += 1
                    if deaths > allowed:
                        how = content if isinstance(content, str) else f"exit code {content}"
                        raise FaithfulError(
                            f"Workers keep dying (last {how}); run again with fewer --workers or a smaller"
                            " --batch. Committed shards are kept."
                        )
                    _give_back(worker, by_split)
                    fresh = start_drawer(executor, worker.number, spec, sampling, settings)
                    crew[crew.index(worker)] = known[fresh.worker] = fresh
            for schedule in schedules:
                while whole := schedule.whole():
                    commit(schedule.split, *whole)
                    deaths = 0
            for worker in crew:
                if any(shard not in by_split[split].open for split, shard in worker.owed):
                    _give_back(worker, by_split)
                    worker.cancel()
                if worker.idle:
                    _assign(worker, schedules)
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
                _tell(schedules, crew, report)
        _tell(schedules, [], report)


def _assign(worker: Drawer, schedules: list[SplitSchedule]) -> bool:
    for schedule in schedules:
        work = schedule.next_range()
        if work is not None:
            worker.assign(work)
            return True
    return False


def _give_back(worker: Drawer, by_split: dict[str, SplitSchedule]) -> None:
    """Put the shards that a worker still owes, and that are still wanted, back into the queue."""
    for split, shard in worker.owed:
        by_split[split].give_back(shard)


def _tell(schedules: list[SplitSchedule], crew: list[Drawer], report: Reporter) -> None:
    """Say what is drawn, that of unfinished samples included: the first of them may be a minute away."""
    wanted = {schedule.split: schedule.target for schedule in schedules}
    done = sum(schedule.tokens_now() for schedule in schedules) + sum(worker.in_flight for worker in crew)
    done = min(done, sum(wanted.values())) if any(wanted.values()) else done
    step = "sampling"
    if all(wanted.get(split) for split in ("train", "test")):
        step += f" {wanted['train']:,} + {wanted['test']:,} held-out"
    now = time.monotonic()
    report(Progress(step, done, sum(wanted.values()), workers=tuple(worker.row(now) for worker in crew)))
