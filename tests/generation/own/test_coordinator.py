"""The coordinator with real workers, which are threads here: what it tells, and that nothing is lost or doubled."""

import io
import queue
import random
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress
from faithful.executor.protocol import Event, LinkGone, Main, Share
from faithful.executor.where import Here, at
from faithful.models.spec import resolve_model
from faithful.store.corpus import from_table
from faithful.store.shard_files import EncodedShard
from generation.own import workers
from generation.own.coordinator import _tell, draw_all
from generation.own.schedule import SplitSchedule
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.sampling.seeds import sample_seed

ROWS = 8
SEED, DOMAIN = 7, "train"


@pytest.mark.parametrize(
    ("targets", "step"),
    [
        ({"train": 5000, "test": 20_000}, "sampling 5,000 + 20,000 held-out"),
        ({"train": 5000}, "sampling"),
        ({"test": 20_000}, "sampling"),
    ],
    ids=str,
)
def test_progress_says_how_much_of_it_is_held_out(targets: dict[str, int], step: str) -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    points: list[Progress] = []
    _tell(
        [SplitSchedule(split, DOMAIN, SEED, target, settings, [], [], [], 6.0) for split, target in targets.items()],
        [],
        points.append,
    )
    assert points == [Progress(step, 0, sum(targets.values()))]


def test_progress_counts_the_tokens_of_samples_that_are_not_whole_yet() -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    schedule = SplitSchedule("train", DOMAIN, SEED, 100, settings, [], [], [], 6.0)
    points: list[Progress] = []
    for in_flight in (7, 30, 1000):
        crew: list[Any] = [
            SimpleNamespace(in_flight=many, row=lambda now, many=many: {"rate": many}) for many in (in_flight, 1)
        ]
        _tell([schedule], crew, points.append)
    assert [point.done for point in points] == [8, 31, 100], "never more than there is to draw"
    assert [row["rate"] for row in points[0].workers] == [7, 1]


class Worker:
    """One that is told in vain."""

    node = "far"

    def tell(self, kind: str, content: Any = None) -> bool:
        return False


class Dying(Here):
    """A place where every worker dies as soon as it is heard, and another is started."""

    replaces = True

    def __init__(self, how: int | str) -> None:
        self.how, self.alive, self.begun = how, list[Worker](), 0

    def executor(self, name: str) -> Any:
        return nullcontext(self)

    def start(self, *_: object) -> Worker:
        self.begun += 1
        self.alive.append(Worker())
        return self.alive[-1]

    def events(self, seconds: float) -> list[tuple[Worker, str, Any]]:
        dead, self.alive = self.alive, []
        return [(worker, "died", self.how) for worker in dead]


@pytest.mark.parametrize(
    ("how", "said", "begun"),
    [(1, "a fault of its own .exit code 1.", 2), (-9, "last exit code -9", 8), ("its actor died", "last its actor", 8)],
)
def test_a_worker_that_ends_by_its_own_fault_is_not_started_again(how: Any, said: str, begun: int) -> None:
    settings = EngineSettings("transformers", "cpu", 1, 4, ROWS, deterministic=True)
    place: Any = Dying(how)
    nothing: Any = None
    schedule = SplitSchedule("train", DOMAIN, SEED, 100, settings, [], [], [], 6.0)
    with at(place), pytest.raises(FaithfulError, match=said):
        draw_all([schedule], nothing, nothing, settings, 2, nothing, lambda _: None)
    assert place.begun == begun


def tokens_of(seed: int) -> list[int]:
    """Of the sample of a seed: one to twelve."""
    return [30 + seed % 50] * (seed % 12 + 1)


class Engine:
    """Finishes the samples in flight in an order of its own, a step each."""

    def __init__(self, slots: int, seed: int) -> None:
        self.slots, self.chance = slots, random.Random(seed)
        self.told: Any = None

    def run(self, requests: Iterator[Request]) -> Iterator[Sample]:
        flying: list[Request] = []
        more = True
        while more or flying:
            while more and len(flying) < self.slots:
                request = next(requests, None)
                more = request is not None
                flying += [request] if request else []
            self.told(len(flying))
            if flying:
                done = flying.pop(self.chance.randrange(len(flying)))
                ids = tokens_of(done.seed)
                yield Sample(done.index, done.seed, ids, "length", [-1.0] * len(ids), None)


class Threads(Here):
    """A place whose workers are threads, of which some are lost on the way: what they say then reaches nobody."""

    replaces = True

    def __init__(self, deaths: int, chance: random.Random) -> None:
        self.inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.deaths, self.chance, self.lines = deaths, chance, list[Line]()

    def executor(self, name: str) -> Any:
        return self

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_: object) -> None:
        for line in self.lines:
            line.tell("stop")
        for line in self.lines:
            line.thread.join(10)

    def start(self, number: int, share: Share, main: Main, *arguments: Any) -> Any:
        dies_after = self.chance.randrange(2, 40) if self.deaths else 0
        self.deaths -= bool(dies_after)
        self.lines.append(Line(self.inbox, dies_after, main, arguments))
        return self.lines[-1]

    def events(self, seconds: float) -> Iterator[Event]:
        try:
            yield self.inbox.get(timeout=seconds)
            while True:
                yield self.inbox.get_nowait()
        except queue.Empty:
            return


class Line:
    """A thread and both ends of the line to it."""

    node = "here"

    def __init__(self, inbox: "queue.SimpleQueue[Event]", dies_after: int, main: Main, arguments: Any) -> None:
        self.inbox, self.mail = inbox, queue.SimpleQueue[tuple[str, Any]]()
        self.dies_after, self.said = dies_after, 0
        self.thread = threading.Thread(target=self._run, args=(main, arguments), daemon=True)
        self.thread.start()

    def _run(self, main: Main, arguments: Any) -> None:
        try:
            main(self, *arguments)
        except LinkGone:
            self.inbox.put((self, "died", "it was killed"))
        except Exception as error:
            self.inbox.put((self, "failed", f"{type(error).__name__}: {error}"))

    def tell(self, kind: str, content: Any = None) -> bool:
        self.mail.put((kind, content))
        return True

    def say(self, kind: str, content: Any = None) -> None:
        self.said += 1
        if self.said == self.dies_after:
            raise LinkGone
        self.inbox.put((self, kind, content))

    def hear(self) -> tuple[str, Any]:
        return self.mail.get()

    def has_mail(self) -> bool:
        return not self.mail.empty()


@pytest.mark.parametrize("deterministic", [True, False], ids=["drained", "rolling"])
@pytest.mark.parametrize("deaths", [0, 5])
def test_what_workers_draw_and_make_is_the_direct_prefix(
    deterministic: bool, deaths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, cut = resolve_model("tiny"), 0
    for turn in range(6):
        chance = random.Random(turn)
        settings = EngineSettings("transformers", "cpu", 1, chance.choice([1, 3, 8, 20]), ROWS, deterministic)
        built = SimpleNamespace(
            build=lambda *_, chance=chance, settings=settings: Engine(settings.slots, chance.random())
        )
        monkeypatch.setitem(workers.ENGINES, "transformers", built)
        targets = {"train": chance.randrange(1, 900), "test": chance.randrange(1, 150)}
        schedules = {
            split: SplitSchedule(split, split, SEED, target, settings, [], [], [], chance.choice([3.0, 6.0, 12.0]))
            for split, target in targets.items()
        }
        disk: dict[str, list[tuple[int, list[int]]]] = {split: [] for split in targets}

        def commit(
            split: str, place: int, made: EncodedShard, rows: int, disk: Any = disk, schedules: Any = schedules
        ) -> None:
            documents = from_table(pq.read_table(io.BytesIO(made.content)))
            assert (made.shard.first, made.shard.rows) == (place * ROWS, len(documents))
            disk[split] += [(one.index, one.token_ids) for one in documents[:rows]]
            tokens = sum(len(one.token_ids) for one in documents[:rows])
            schedules[split].commit(place, SimpleNamespace(tokens=tokens, rows=rows))

        place: Any = Threads(deaths, chance)
        with at(place):
            number = chance.randrange(2 if deaths else 1, 5)  # with two, six deaths are allowed
            draw_all([*schedules.values()], spec, Sampling(), settings, number, commit, lambda _: None)
        for split, target in targets.items():
            wanted, total = [], 0
            while total < target:
                ids = tokens_of(sample_seed(SEED, split, len(wanted)))
                wanted.append((len(wanted), ids))
                total += len(ids)
            assert disk[split] == wanted
            cut += len(wanted) % ROWS > 0
    assert cut >= 6, "too few splits end inside a shard for the test to mean much"
