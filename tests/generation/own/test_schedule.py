"""The schedule as pure logic: whatever the order, the deaths and the repairs, the result is the direct prefix."""

import itertools
import pickle
import random
from dataclasses import dataclass, field

import pytest

from faithful.store.corpus import Document, Shard
from faithful.store.shard_files import EncodedShard
from generation.own.schedule import SplitSchedule
from generation.own.workers import Range
from generation.sampling.engine import EngineSettings, Sample
from generation.sampling.seeds import sample_seed

ROWS = 8
SEED, DOMAIN = 7, "train"


def length(index: int, version: int = 0) -> int:
    """Tokens of sample `index`: 1 to 12, the same always (in one version of the engine)."""
    return sample_seed(version, "length", index) % 12 + 1


def sample(index: int, version: int = 0) -> Sample:
    count = length(index, version)
    ids = [version, *[index % 97] * (count - 1)]
    return Sample(index, sample_seed(SEED, DOMAIN, index), ids, "stop", [-1.0] * count, None)


def prefix(target: int) -> list[int]:
    """Indices of the shortest prefix with `target` tokens."""
    total, indices = 0, []
    for index in itertools.count():
        if total >= target:
            return indices
        indices.append(index)
        total += length(index)
    raise AssertionError("unreachable")


def shard_of(number: int, samples: list[Sample]) -> Shard:
    tokens = sum(len(s.token_ids) for s in samples)
    return Shard(f"data/part-{number:05d}.parquet", samples[0].index, len(samples), tokens, 1, "sha", {})


def made_of(number: int, samples: list[Sample]) -> EncodedShard:
    """A shard whose file is not looked at."""
    return EncodedShard(shard_of(number, samples), pickle.dumps(samples))


def rows_of(made: EncodedShard) -> list[Sample]:
    """Its samples."""
    found: list[Sample] = pickle.loads(made.content)
    return found


def committed_for(target: int) -> dict[int, list[Sample]]:
    """The shards of a corpus made directly."""
    shards: dict[int, list[Sample]] = {}
    for index in prefix(target):
        shards.setdefault(index // ROWS, []).append(sample(index))
    return shards


@dataclass
class Worker:
    """A worker that draws its ranges sample by sample, in an order of its own, and makes shards some time after it is told.

    Attributes:
        owed: ranges, and the indices of each that it has yet to draw.
        hand: samples by shard, those included that are kept.
        making: shards and their rows.
    """

    owed: list[tuple[Range, list[int]]] = field(default_factory=list)
    hand: dict[int, dict[int, Sample]] = field(default_factory=dict)
    making: list[tuple[int, list[Sample]]] = field(default_factory=list)


class World:
    """The coordinator's loop with fake workers, driven by a seeded generator; the disk is a dictionary."""

    def __init__(
        self,
        seed: int,
        target: int,
        *,
        deterministic: bool = True,
        before: int = 0,
        damaged: tuple[int, ...] = (),
        workers: int = 3,
        deaths: float = 0.0,
        ahead: int = 2,
        version: int = 0,
        keeps: bool | None = None,
    ) -> None:
        self.draw = random.Random(seed)
        self.deaths, self.ahead, self.version = deaths, ahead, version
        self.disk = committed_for(before)
        self.target, self.damaged, self.workers = target, damaged, workers
        self.settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic)
        self.keeps = not deterministic if keeps is None else keeps
        self.requested: list[int] = []
        self.most_open = 0
        self.plan()

    def plan(self) -> None:
        """A new schedule for what is on the disk, as `generate` makes one after repairs."""
        shards = [shard_of(number, rows) for number, rows in sorted(self.disk.items())]
        last = len(shards) - 1
        kept = []
        if shards and self.keeps and last not in self.damaged:
            kept = [Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p) for s in self.disk[last]]
        damaged, self.damaged = list(self.damaged), ()
        self.schedule = SplitSchedule("train", DOMAIN, SEED, self.target, self.settings, shards, damaged, kept, 6.0)
        self.crew = [Worker() for _ in range(self.workers)]

    def run(self) -> None:
        for _ in range(20_000):
            if not self.schedule.done:
                self.step()
            elif sum(len(row.token_ids) for rows in self.disk.values() for row in rows) < self.target:
                self.plan()
            else:
                return
        raise AssertionError("the schedule does not come to an end")

    def step(self) -> None:
        worker = self.draw.choice(self.crew)
        if self.draw.random() < self.deaths:
            for shard in [*worker.hand, *(number for number, _ in worker.making)]:
                self.schedule.give_back(shard)
            worker.owed, worker.hand, worker.making = [], {}, []
        elif len(worker.owed) < self.ahead:
            self.assign(worker)
        if worker.owed:
            work, left = self.draw.choice(worker.owed)
            size = self.draw.randint(1, len(left))
            batch, left[:] = left[:size], left[size:]
            if not left:
                worker.owed = [entry for entry in worker.owed if entry[0] is not work]
            worker.hand[work.shard] |= {index: sample(index, self.version) for index in batch}
            self.schedule.add(work.shard, {index: length(index, self.version) for index in batch})
        while told := self.schedule.to_make():
            self.make(*told)
        if worker.making and self.draw.random() < 0.7:
            number, rows = worker.making.pop(0)
            self.schedule.take(number, made_of(number, rows))
        self.commit()
        for other in self.crew:
            other.owed = [entry for entry in other.owed if entry[0].shard in self.schedule.open]
            other.hand = {shard: rows for shard, rows in other.hand.items() if shard in self.schedule.open}
        self.most_open = max(self.most_open, len(self.schedule.open))

    def make(self, number: int, rows: int) -> None:
        """Tell the worker that has a shard to make it, and to draw no more of it."""
        holder = next(worker for worker in self.crew if number in worker.hand)
        drawn = holder.hand.pop(number)
        first = [drawn[index] for index in range(number * ROWS, number * ROWS + rows)]
        holder.making.append((number, first))
        holder.owed = [entry for entry in holder.owed if entry[0].shard != number]

    def commit(self) -> None:
        """Put on the disk what can be."""
        while whole := self.schedule.whole():
            number, made, rows = whole
            kept = rows_of(made)[:rows]
            self.disk[number] = kept
            self.schedule.commit(number, shard_of(number, kept))

    def assign(self, worker: Worker) -> None:
        work = self.schedule.next_range()
        if work is None:
            return
        indices = [request.index for request in work.requests]
        assert indices, "an empty range was handed out"
        assert indices == sorted(indices)
        assert all(work.shard * ROWS <= index < (work.shard + 1) * ROWS for index in indices)
        assert all(request.seed == sample_seed(SEED, DOMAIN, request.index) for request in work.requests)
        under_way = {index for other in self.crew for _, left in other.owed for index in left}
        assert not under_way & set(indices), "a sample was handed out twice at the same time"
        assert work.shard not in {entry[0].shard for other in self.crew for entry in other.owed}
        self.requested += indices
        self.draw.shuffle(indices)
        worker.owed.append((work, indices))
        worker.hand[work.shard] = {row.index: row for row in work.kept}

    @property
    def result(self) -> list[Sample]:
        assert sorted(self.disk) == list(range(len(self.disk)))
        assert len(self.schedule.shards) == len(self.disk)
        return [row for number in sorted(self.disk) for row in self.disk[number]]


def direct(target: int) -> list[Sample]:
    return [sample(index) for index in prefix(target)]


TARGETS = (1, 40, 333, 1000)


@pytest.mark.parametrize("deterministic", [True, False], ids=["drained", "rolling"])
@pytest.mark.parametrize("target", TARGETS)
def test_any_order_gives_the_direct_prefix(target: int, deterministic: bool) -> None:
    for seed in range(12):
        world = World(seed, target, deterministic=deterministic, workers=seed % 4 + 1)
        world.run()
        assert world.result == direct(target)


@pytest.mark.parametrize("deterministic", [True, False], ids=["drained", "rolling"])
def test_deaths_at_any_time_change_nothing(deterministic: bool) -> None:
    for seed in range(40):
        world = World(seed, 400, deterministic=deterministic, deaths=0.15)
        world.run()
        assert world.result == direct(400)


@pytest.mark.parametrize("deterministic", [True, False], ids=["drained", "rolling"])
@pytest.mark.parametrize("before", [1, 45, 52, 300])
def test_growth_equals_direct(before: int, deterministic: bool) -> None:
    for seed in range(12):
        world = World(seed, 500, deterministic=deterministic, before=before, deaths=0.05)
        world.run()
        assert world.result == direct(500)
        if not deterministic:
            assert not set(world.requested) & set(prefix(before)), "rows that were there were drawn again"


def test_a_drained_partial_shard_is_drawn_as_a_whole_again() -> None:
    """Its bytes depend on its whole range: the batch it ran in."""
    before = 45
    rows = prefix(before)
    assert len(rows) % ROWS
    world = World(0, 500, before=before)
    work = world.schedule.next_range()
    assert work is not None
    first = len(rows) // ROWS * ROWS
    assert [request.index for request in work.requests] == list(range(first, first + ROWS))


def test_rows_kept_after_an_engine_change_stay_whatever_dies() -> None:
    """A drained shard of which some rows are an older engine's: a death takes the new rows alone."""
    before = 45
    kept = direct(before)
    assert len(kept) % ROWS
    deaths = 0
    for seed in range(40):
        world = World(seed, 300, before=before, deaths=0.15, version=1, keeps=True)
        world.run()
        assert world.result[: len(kept)] == kept
        assert not set(world.requested) & set(range(len(kept)))
        assert [row.index for row in world.result] == list(range(len(world.result)))
        deaths += len(world.requested) > len(set(world.requested))
    assert deaths > 10, "too few deaths for the test to mean anything"


@pytest.mark.parametrize("deterministic", [True, False], ids=["drained", "rolling"])
@pytest.mark.parametrize("target", [300, 500], ids=["repair", "repair and grow"])
def test_damaged_shards_are_made_again_where_they_stand(target: int, deterministic: bool) -> None:
    last = len(committed_for(300)) - 1
    for seed in range(25):
        for damaged in ((0,), (1, 3), (last,), (0, last)):
            world = World(seed, target, deterministic=deterministic, before=300, damaged=damaged, deaths=0.1)
            for number in damaged:
                del world.disk[number]
            world.run()
            assert world.result == direct(target), (seed, damaged)


def test_nothing_grows_while_shards_are_damaged() -> None:
    world = World(0, 500, before=300, damaged=(0, 2))
    ranges = list(iter(world.schedule.next_range, None))
    assert [work.shard for work in ranges] == [0, 2]


def test_a_rolling_repair_with_other_lengths_leaves_no_hole() -> None:
    """An engine that promises no bytes may give a repaired shard fewer tokens; the indices stay a prefix all the same."""
    target = next(tokens for tokens in range(300, 400) if len(prefix(tokens)) % ROWS == 3)
    for version in range(1, 17):
        world = World(version, target, deterministic=False, before=target, damaged=(1, 2, 3), version=version)
        world.run()
        indices = [row.index for row in world.result]
        assert indices == list(range(len(indices)))
        assert sum(len(row.token_ids) for row in world.result) >= target


def test_nothing_more_is_planned_than_the_target_is_expected_to_take() -> None:
    world = World(0, 500)
    ranges = []
    while (work := world.schedule.next_range()) is not None:
        ranges.append(work)
        assert len(ranges) < 100
    assert (len(ranges) - 1) * ROWS * 6.0 < 500 <= len(ranges) * ROWS * 6.0
    assert world.schedule.next_range() is None


def test_planning_goes_on_when_samples_are_shorter_than_expected() -> None:
    world = World(0, 500)
    world.schedule.mean_tokens = 100.0
    world.run()
    assert world.result == direct(500)


def test_what_lies_beyond_the_cut_is_dropped() -> None:
    """All ranges arrive in full, last first: one commit per shard, the last one cut, late samples ignored."""
    world = World(0, 200)
    ranges = []
    while (work := world.schedule.next_range()) is not None:
        ranges.append(work)
    for work in reversed(ranges):
        world.schedule.add(work.shard, {r.index: length(r.index) for r in work.requests})
        assert world.schedule.to_make() == (work.shard, ROWS), "whole shards are made in any order"
        assert world.schedule.to_make() is None
        world.schedule.take(work.shard, made_of(work.shard, [sample(r.index) for r in work.requests]))
    world.commit()
    assert world.result == direct(200)
    assert world.schedule.done
    assert world.schedule.open == {}
    late = ranges[-1].requests[0].index
    world.schedule.add(ranges[-1].shard, {late: length(late)})
    world.schedule.take(ranges[-1].shard, made_of(ranges[-1].shard, [sample(late)]))
    assert world.schedule.open == {}
    assert world.schedule.to_make() is None
    assert world.schedule.whole() is None
    assert world.schedule.next_range() is None


def test_the_last_shard_is_cut_as_soon_as_the_target_is_reached() -> None:
    """Not every sample of it has to arrive."""
    target = sum(length(index) for index in range(3))
    world = World(0, target)
    work = world.schedule.next_range()
    assert work is not None
    assert len(work.requests) == ROWS
    world.schedule.add(0, {2: length(2), 0: length(0)})
    assert world.schedule.to_make() is None
    world.schedule.add(0, {1: length(1)})
    assert world.schedule.to_make() == (0, 3)
    assert world.schedule.whole() is None, "it is not made yet"
    world.schedule.mean_tokens = 0.1
    assert world.schedule.next_range() is None, "with what is being made there is enough"
    made = made_of(0, [sample(0), sample(1), sample(2)])
    world.schedule.take(0, made)
    assert world.schedule.whole() == (0, made, 3)


def test_a_shard_is_not_cut_while_one_before_it_may_come_out_otherwise() -> None:
    """Its worker may die before it is made, and another engine may draw other lengths."""
    target = sum(length(index) for index in range(ROWS + 3))
    world = World(0, target)
    first, second = world.schedule.next_range(), world.schedule.next_range()
    assert first is not None
    assert second is not None
    world.schedule.add(0, {request.index: length(request.index) for request in first.requests})
    world.schedule.add(1, {index: length(index) for index in range(ROWS, ROWS + 4)})
    assert world.schedule.to_make() == (0, ROWS)
    assert world.schedule.to_make() is None
    world.schedule.take(0, made_of(0, [sample(request.index) for request in first.requests]))
    assert world.schedule.to_make() == (1, 3)


@pytest.mark.parametrize("wanted", [1, 300])
def test_enough_is_done_at_once(wanted: int) -> None:
    schedule = World(0, wanted, before=300).schedule
    assert schedule.done
    assert schedule.next_range() is None
    assert schedule.whole() is None


def test_progress_never_passes_the_target() -> None:
    world = World(3, 333)
    seen = []
    while not world.schedule.done:
        world.step()
        seen.append(world.schedule.tokens_now())
    assert seen[-1] == max(seen) == 333
    assert seen[0] > 0 or len(seen) > 1


def test_progress_does_not_count_what_an_earlier_shard_makes_superfluous() -> None:
    """Of a later shard that is drawn first: the bar would be full while the first one is still drawn."""
    world = World(0, 70)
    first, second = world.schedule.next_range(), world.schedule.next_range()
    assert first is not None
    assert second is not None
    world.schedule.add(1, {request.index: 10 for request in second.requests})
    assert world.schedule.tokens_now() == 70 - ROWS * 6
    world.schedule.add(0, {request.index: 7 for request in first.requests})
    assert world.schedule.tokens_now() == 70
