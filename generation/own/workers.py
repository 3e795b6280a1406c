"""Workers that draw: each holds an engine, takes ranges of samples from the coordinator and streams samples back.

The environment of a worker is set before its interpreter starts: what it imports first, and when, does not matter.
"""

import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faithful.base.errors import FaithfulError
from faithful.executor.protocol import Executor, Link, Share, Worker
from generation.own.engines import ENGINES
from generation.sampling.engine import EngineSettings, Request, Sample

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec
    from generation.sampling.distribution import Sampling

MESSAGE_SAMPLES = 16
STEP_SECONDS = 0.2


@dataclass(frozen=True)
class Range:
    """Work for one worker: some samples of one shard.

    Attributes:
        split: `train` or `test`.
        shard: shard number.
        requests: the samples, in index order.
    """

    split: str
    shard: int
    requests: tuple[Request, ...]


class Drawer:
    """A worker as the coordinator knows it; `owed` holds the sample indices it has yet to deliver, by shard, `in_flight` the
    tokens drawn of samples that are not whole yet, as last heard, `delivered` those of samples that have arrived."""

    def __init__(self, number: int, worker: Worker) -> None:
        self.number, self.worker = number, worker
        self.owed: dict[tuple[str, int], set[int]] = {}
        self.idle = False
        self.in_flight = self.delivered = 0
        self.ready_at: float | None = None

    def row(self, now: float) -> dict[str, Any]:
        """What it does, for whoever watches; see `faithful.base.progress.Progress`."""
        drawing = "idle" if self.idle else "drawing"
        state = drawing if self.ready_at else "starting" if self.worker.node else "waiting for a node"
        rate = (self.delivered + self.in_flight) / max(now - self.ready_at, 1e-9) if self.ready_at else 0.0
        return {"worker": self.number, "node": self.worker.node, "state": state, "rate": rate}

    def assign(self, work: Range) -> None:
        """Hand over a range."""
        self.owed[work.split, work.shard] = {request.index for request in work.requests}
        self.idle = False
        self.worker.tell("range", work)

    def deliver(self, split: str, shard: int, samples: list[Sample]) -> None:
        """Strike off what has arrived."""
        tokens = sum(len(sample.token_ids) for sample in samples)
        self.delivered += tokens
        self.in_flight = max(0, self.in_flight - tokens)
        owed = self.owed.get((split, shard), set())
        owed.difference_update(sample.index for sample in samples)
        if not owed:
            self.owed.pop((split, shard), None)

    def decline(self) -> None:
        """Answer `more`: nothing now."""
        self.worker.tell("nothing")

    def cancel(self) -> None:
        """Drop everything it is working on."""
        self.owed.clear()
        self.in_flight = 0
        self.worker.tell("cancel")


def start_drawer(
    executor: Executor, number: int, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings
) -> Drawer:
    """A worker that draws; on a GPU machine it uses the GPU of its number, or its share of them.

    It says `ready`; `step` (tokens of the samples in flight); `want` (work, when there is some), `more` (work or `decline`,
    at once), `samples` (split, shard and a list of Sample), and last `failed` or `died`, as the executor has it.

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

    def __init__(self, link: Link) -> None:
        self.link = link
        self.queue: deque[Range | None] = deque()
        self.cancelled = self.stopped = False
        self.said_step = 0.0

    def say(self, kind: str, content: Any = None) -> None:
        self.link.say(kind, content)

    def step(self, tokens: int) -> None:
        """Say how far the samples in flight are, now and then."""
        now = time.monotonic()
        if now - self.said_step >= STEP_SECONDS:
            self.said_step = now
            self.say("step", tokens)

    def poll(self) -> None:
        """Read what has arrived."""
        while self.link.has_mail():
            self._take(*self.link.hear())

    def next(self) -> Range | None:
        """Wait for a range; None when there is nothing now, or on cancel and stop."""
        while not self.queue and not self.stopped and not self.cancelled:
            self._take(*self.link.hear())
        return self.queue.popleft() if self.queue and not self.stopped else None

    def _take(self, kind: str, content: Range | None) -> None:
        if kind == "stop":
            self.stopped = True
        elif kind == "cancel":
            self.queue.clear()
            self.cancelled = True
        else:
            self.queue.append(content)


def draw(line: Link, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings) -> None:
    """What a worker does."""
    try:
        engine = ENGINES[settings.name].build(spec, sampling, settings)
        line.say("ready")
        link = _Requests(line)
        while not link.stopped:
            link.cancelled = False
            _serve(engine, link, settings.deterministic)
    except (FaithfulError, EOFError, ConnectionError):
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
    owner: dict[int, tuple[str, int]] = {}
    outbox: dict[tuple[str, int], list[Sample]] = {}

    def requests(work: Range | None) -> Iterator[Request]:
        while work is not None:
            for place, request in enumerate(work.requests):
                if not drain and place == len(work.requests) // 2:
                    link.say("more")
                owner[request.seed] = (work.split, work.shard)
                yield request
            work = None if drain else link.next()

    def flush() -> None:
        for (split, shard), samples in outbox.items():
            link.say("samples", (split, shard, samples))
        outbox.clear()

    engine.told = link.step
    link.say("want")
    first = link.next()
    if first is None:
        return
    running = engine.run(requests(first))
    for sample in running:
        outbox.setdefault(owner.pop(sample.seed), []).append(sample)
        if sum(map(len, outbox.values())) >= MESSAGE_SAMPLES:
            flush()
        link.poll()
        if link.cancelled or link.stopped:
            running.close()
            return
    flush()
