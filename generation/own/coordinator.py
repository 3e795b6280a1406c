"""The coordinator: hands ranges to workers, says when shards are to be made, commits them. The only writer of a corpus.

Workers keep what they draw and make shards of it themselves, so that a coordinator of hundreds of them keeps up.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter
from faithful.executor.protocol import Executor, Worker, is_fault
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
    told = 0.0
    with current_place().executor("worker") as executor:
        start = partial(start_drawer, executor, spec=spec, sampling=sampling, settings=settings)
        crew = _Crew(executor, workers, start, schedules)
        while not all(schedule.done for schedule in schedules):
            for said_by, kind, content in executor.events(1.0):
                crew.hear(said_by, kind, content)
            for schedule in schedules:
                while work := schedule.to_make():
                    crew.make((schedule.split, work[0]), work[1])
                while whole := schedule.whole():
                    commit(schedule.split, *whole)
                    crew.deaths = 0
            crew.employ()
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
                _tell(schedules, crew.drawers, report)
        _tell(schedules, [], report)


class _Crew:
    """The workers of a generation: what they say is noted in the schedules, what these want is given to them.

    Args:
        executor: where they live.
        count: how many.
        start: starts one, from its number.
        schedules: one per split.

    Attributes:
        drawers: those that live.
        deaths: of workers since the last committed shard.
    """

    def __init__(
        self, executor: Executor, count: int, start: Callable[[int], Drawer], schedules: list[SplitSchedule]
    ) -> None:
        self.start, self.schedules = start, schedules
        self.by_split = {schedule.split: schedule for schedule in schedules}
        self.allowed = DEATHS_ALLOWED * (count if executor.replaces else 1)
        self.deaths = 0
        self.drawers = [start(number) for number in range(count)]
        self.known: dict[Worker, Drawer] = {drawer.worker: drawer for drawer in self.drawers}

    def hear(self, said_by: Worker, kind: str, content: Any) -> None:
        """Note what a worker says, or that it died.

        Raises:
            FaithfulError: see `draw_all`.
        """
        worker = self.known[said_by]
        if kind == "drawn":
            turn, (split, shard), lengths = content
            if worker.deliver(turn, (split, shard), lengths):
                self.by_split[split].add(shard, lengths)
        elif kind == "shard":
            (split, shard), made = content
            worker.making.discard((split, shard))
            self.by_split[split].take(shard, made)
        elif kind == "ready":
            worker.ready_at = time.monotonic()
        elif kind == "step" and content[0] == worker.turn:
            worker.in_flight = content[1]
        elif kind == "want":
            worker.idle |= content == worker.turn
        elif kind == "more" and content == worker.turn and not self._assign(worker):
            worker.decline()
        elif kind == "failed":
            raise FaithfulError(content)
        elif kind == "died" and worker in self.drawers:
            self._replace(worker, content)

    def make(self, place: Place, rows: int) -> None:
        """Have a shard made of its first rows by the worker that has them."""
        holder = next(worker for worker in self.drawers if place in worker.owed)
        if holder.make(place, rows):
            self._give_back(holder.cancel())

    def employ(self) -> None:
        """Take from workers what is not wanted any more, and give work to those that have none."""
        for worker in self.drawers:
            if any(shard not in self.by_split[split].open for split, shard in worker.owed):
                self._give_back(worker.cancel())
            if worker.idle:
                self._assign(worker)

    def _replace(self, worker: Drawer, how: int | str) -> None:
        """Start another worker in place of a dead one, and give its work back."""
        if is_fault(how):
            raise FaithfulError(
                f"A worker ended by a fault of its own (exit code {how}), which the lines above tell, or on"
                " a cluster its node's Ray logs. Committed shards are kept."
            )
        self.deaths += 1
        if self.deaths > self.allowed:
            last = how if isinstance(how, str) else f"exit code {how}"
            raise FaithfulError(
                f"Workers keep dying (last {last}); run again with fewer --workers or a smaller"
                " --batch. Committed shards are kept."
            )
        self._give_back([*worker.owed, *worker.making])
        fresh = self.start(worker.number)
        self.drawers[self.drawers.index(worker)] = self.known[fresh.worker] = fresh

    def _assign(self, worker: Drawer) -> bool:
        for schedule in self.schedules:
            work = schedule.next_range()
            if work is not None:
                worker.assign(work)
                return True
        return False

    def _give_back(self, shards: Iterable[Place]) -> None:
        """Put shards that a worker had, and that are still wanted, back into the queue."""
        for split, shard in shards:
            self.by_split[split].give_back(shard)


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
