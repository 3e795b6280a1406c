"""Workers that draw: each holds an engine, takes ranges of samples from the coordinator, says how long each is that it has
drawn, and makes a shard of them when it is told to.

The environment of a worker is set before its interpreter starts: what it imports first, and when, does not matter.
"""

import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from faithful.base.errors import FaithfulError
from faithful.executor.protocol import Executor, Link, LinkGone, Share, Worker
from generation.own.engines import ENGINES
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.writing.hand import Hand, Place

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec
    from generation.sampling.distribution import Sampling

MESSAGE_SAMPLES = 16
STEP_SECONDS, MAIL_SECONDS = 0.2, 0.02


@dataclass(frozen=True)
class Range:
    """Work for one worker: some samples of one shard.

    Attributes:
        split: `train` or `test`.
        shard: its place among those that are made here.
        number: its number in the corpus.
        requests: the samples, in index order.
        kept: samples of the shard that are there already.
    """

    split: str
    shard: int
    number: int
    requests: tuple[Request, ...]
    kept: tuple[Sample, ...] = ()

    @property
    def place(self) -> Place:
        """Where the samples belong."""
        return self.split, self.shard


class Drawer:
    """A worker as the coordinator knows it.

    Attributes:
        owed: indices of the samples it has yet to draw, by shard; none where it has all and is not told yet to make it.
        making: shards that it makes.
        in_flight: tokens drawn of samples that are not whole yet, as last heard.
        delivered: tokens of samples that are whole.
        turn: how often it was told to drop everything. What it says of its work names the turn, for what it said before it
            heard of the next one holds no more.
    """

    def __init__(self, number: int, worker: Worker) -> None:
        self.number, self.worker = number, worker
        self.owed: dict[Place, set[int]] = {}
        self.making: set[Place] = set()
        self.idle = False
        self.in_flight = self.delivered = self.turn = 0
        self.ready_at: float | None = None

    def row(self, now: float) -> dict[str, Any]:
        """What it does, for whoever watches; see `faithful.base.progress.Progress`."""
        drawing = "idle" if self.idle else "drawing"
        state = drawing if self.ready_at else "starting" if self.worker.node else "waiting for a node"
        rate = (self.delivered + self.in_flight) / max(now - self.ready_at, 1e-9) if self.ready_at else 0.0
        return {"worker": self.number, "node": self.worker.node, "state": state, "rate": rate}

    def assign(self, work: Range) -> None:
        """Hand over a range."""
        self.owed[work.place] = {request.index for request in work.requests}
        self.idle = False
        self.worker.tell("range", work)

    def deliver(self, turn: int, place: Place, lengths: Mapping[int, int]) -> bool:
        """Strike off what is drawn; whether the worker still has it."""
        if turn != self.turn or place not in self.owed:
            return False
        tokens = sum(lengths.values())
        self.delivered += tokens
        self.in_flight = max(0, self.in_flight - tokens)
        self.owed[place].difference_update(lengths)
        return True

    def make(self, place: Place, rows: int) -> bool:
        """Have a shard made of the first so many rows; whether the worker still draws others of it, which nobody wants."""
        self.making.add(place)
        self.worker.tell("make", (place, rows))
        return bool(self.owed.pop(place))

    def decline(self) -> None:
        """Answer `more`: nothing now."""
        self.worker.tell("nothing")

    def cancel(self) -> list[Place]:
        """Drop everything it is drawing, which is returned; what it makes it makes to the end."""
        dropped = list(self.owed)
        self.owed.clear()
        self.idle = False
        self.in_flight = 0
        self.turn += 1
        self.worker.tell("cancel")
        return dropped


def start_drawer(
    executor: Executor, number: int, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings
) -> Drawer:
    """A worker that draws; on a GPU machine it uses the GPU of its number, or its share of them.

    It says `ready`; `step` (its turn, tokens of the samples in flight); `want` (its turn: work, when there is some), `more`
    (its turn: work or `decline`, at once, unless the turn is over), `drawn` (its turn, a place and the lengths of samples by
    their indices), `shard` (a place and the EncodedShard that it was told to `make`), and last `failed` or `died`, as the
    executor has it.

    Args:
        executor: where.
        number: which of the workers it is.
        spec, sampling, settings: what to sample with.

    Raises:
        FaithfulError: there is no place for it.
    """
    share = Share(settings.device, settings.threads, settings.deterministic, gpus=settings.tensor_parallel)
    return Drawer(number, executor.start(number, share, draw, spec, sampling, settings))


class _Requests:
    """What the worker is told. `want` is answered when there is work, `more` at once."""

    def __init__(self, link: Link, hand: Hand) -> None:
        self.link, self.hand = link, hand
        self.queue: deque[Range | None] = deque()
        self.cancelled = self.stopped = False
        self.turn = 0
        self.said_step = 0.0

    @property
    def is_over(self) -> bool:
        """Whether what is being drawn is wanted no more."""
        return self.cancelled or self.stopped

    def say(self, kind: str, content: Any = None) -> None:
        self.link.say(kind, content)

    def step(self, turn: int, tokens: int) -> None:
        """Between two steps of the engine: hear what is wanted, and say now and then how far the samples in flight are."""
        self.poll()
        now = time.monotonic()
        if now - self.said_step >= STEP_SECONDS:
            self.said_step = now
            self.say("step", (turn, tokens))

    def poll(self) -> None:
        """Read what has arrived, say what is made."""
        while self.link.has_mail():
            self._take(*self.link.hear())
        self._say_made()

    def next(self) -> Range | None:
        """Wait for a range; None when there is nothing now, or on cancel and stop."""
        while not self.queue and not self.is_over:
            self._say_made()
            if self.hand.making and not self.link.has_mail():
                self.hand.wait(MAIL_SECONDS)
            else:
                self._take(*self.link.hear())
        return None if self.is_over else self.queue.popleft()

    def _say_made(self) -> None:
        for made in self.hand.made():
            self.say("shard", made)

    def _take(self, kind: str, content: Any) -> None:
        if kind == "stop":
            self.stopped = True
        elif kind == "cancel":
            self.queue.clear()
            self.hand.drop()
            self.turn += 1
            self.cancelled = True
        elif kind == "make":
            self.hand.make(*content)
        else:
            self.queue.append(content)


def draw(line: Link, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings) -> None:
    """What a worker does."""
    try:
        engine = ENGINES[settings.name].build(spec, sampling, settings)
        line.say("ready")
        link = _Requests(line, Hand(spec))
        while not link.stopped:
            link.cancelled = False
            _serve(engine, link, settings.deterministic)
    except (FaithfulError, LinkGone):
        raise
    except MemoryError as error:
        raise FaithfulError("A worker ran out of memory; use fewer --workers or a smaller --batch.") from error
    except Exception as error:  # a worker must say why it ends, whatever the reason
        if "out of memory" in str(error).lower():
            raise FaithfulError("The GPU ran out of memory; use a smaller --batch or --max-tokens.") from error
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise FaithfulError(f"A worker failed: {type(error).__name__}: {error} ({where.name}).") from error


def _serve(engine: Any, link: _Requests, drain: bool) -> None:
    """Ask for work and do it: one range (`drain`), or a rolling stream that crosses the borders of ranges."""
    turn = link.turn  # of which all that is said below is: a cancel may be heard at any step
    owner: dict[int, Place] = {}
    outbox: dict[Place, dict[int, int]] = {}

    def requests(work: Range | None) -> Iterator[Request]:
        while work is not None and not link.is_over:
            link.hand.begin(work.place, work.number, work.kept)
            for place, request in enumerate(work.requests):
                if link.is_over:
                    return
                if not drain and place == len(work.requests) // 2:
                    link.say("more", turn)
                owner[request.seed] = work.place
                yield request
            work = None if drain else link.next()

    def flush() -> None:
        for drawn in outbox.items():
            link.say("drawn", (turn, *drawn))
        outbox.clear()

    engine.told = partial(link.step, turn)
    link.say("want", turn)
    first = link.next()
    if first is None:
        return
    running = engine.run(requests(first))
    for sample in running:
        link.poll()
        if link.is_over:
            running.close()
            return
        place = owner.pop(sample.seed)
        link.hand.take(place, sample)
        outbox.setdefault(place, {})[sample.index] = len(sample.token_ids)
        if sum(map(len, outbox.values())) >= MESSAGE_SAMPLES:
            flush()
    flush()
