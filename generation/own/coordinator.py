"""The coordinator: hands ranges to workers, says when shards are to be made, commits them. The only writer of a corpus.

Workers keep what they draw and make shards of it themselves, so that a coordinator of hundreds of them keeps up.
"""

import time
from collections.abc import Callable, Iterable

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter
from faithful.executor.protocol import Worker, is_fault
from faithful.executor.where import current_place
from faithful.models.spec import ModelSpec
from faithful.store.shard_files import EncodedShard
from generation.own.schedule import SplitSchedule
from generation.own.workers import Drawer, Place, start_drawer
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings

Commit = Callable[[str, int, EncodedShard, int], None]
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
        commit: writes a shard: (split, place, the shard, how many of its rows) and notes it in the schedule.
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
                if kind == "drawn":
                    turn, (split, shard), lengths = content
                    if worker.deliver(turn, (split, shard), lengths):
                        by_split[split].add(shard, lengths)
                elif kind == "shard":
                    (split, shard), made = content
                    worker.making.discard((split, shard))
                    by_split[split].take(shard, made)
                elif kind == "ready":
                    worker.ready_at = time.monotonic()
                elif kind == "step" and content[0] == worker.turn:
                    worker.in_flight = content[1]
                elif kind == "want":
                    worker.idle |= content == worker.turn
                elif kind == "more" and content == worker.turn and not _assign(worker, schedules):
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
                    _give_back([*worker.owed, *worker.making], by_split)
                    fresh = start_drawer(executor, worker.number, spec, sampling, settings)
                    crew[crew.index(worker)] = known[fresh.worker] = fresh
            for schedule in schedules:
                while work := schedule.to_make():
                    place, rows = (schedule.split, work[0]), work[1]
                    holder = next(worker for worker in crew if place in worker.owed)
                    if holder.make(place, rows):
                        _give_back(holder.cancel(), by_split)
                while whole := schedule.whole():
                    commit(schedule.split, *whole)
                    deaths = 0
            for worker in crew:
                if any(shard not in by_split[split].open for split, shard in worker.owed):
                    _give_back(worker.cancel(), by_split)
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


def _give_back(shards: Iterable[Place], by_split: dict[str, SplitSchedule]) -> None:
    """Put shards that a worker had, and that are still wanted, back into the queue."""
    for split, shard in shards:
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
