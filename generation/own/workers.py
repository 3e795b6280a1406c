"""Worker processes: each holds an engine, takes ranges of samples from the coordinator and streams samples back.

The environment of a worker is set before its interpreter starts: what it imports first, and when, does not matter.
"""

import contextlib
import os
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from faithful.base.errors import FaithfulError
from faithful.base.files import reason_of
from faithful.executor.child import environment, start_child
from generation.own.engines import ENGINES
from generation.sampling.engine import EngineSettings, Request, Sample

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec
    from generation.sampling.distribution import Sampling

MESSAGE_SAMPLES = 16
GRACE_SECONDS, END_SECONDS = 0.3, 5.0
STEP_SECONDS = 0.2
Inbox = queue.SimpleQueue[tuple["Worker", str, Any]]


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


class Worker:
    """The coordinator's end of a worker process; `owed` holds the sample indices it has yet to deliver, by shard, `in_flight`
    the tokens drawn of samples that are not whole yet, as last heard.

    Args:
        number: which worker this is; on a GPU machine it uses the GPU of that number.
        spec, sampling, settings: what to sample with.
        inbox: where to put what it says.

    Raises:
        FaithfulError: the system gives no process or pipe.
    """

    def __init__(
        self, number: int, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings, inbox: "Inbox"
    ) -> None:
        self.number = number
        self.owed: dict[tuple[str, int], set[int]] = {}
        self.idle = False
        self.in_flight = 0
        try:
            self.connection, other = Pipe()
            with environment(worker_environment(number, settings)):
                self.process = start_child(_work, other, spec, sampling, settings, name=f"worker-{number}")
        except OSError as error:
            raise FaithfulError(f"Cannot start a worker: {reason_of(error)}; use fewer --workers.") from error
        other.close()
        self.listener = threading.Thread(target=self._listen, args=(inbox,), daemon=True)
        self.listener.start()

    def _listen(self, inbox: "Inbox") -> None:
        """Take what the worker says off the pipe at once, so that neither end ever waits for the other to read."""
        try:
            while True:
                kind, content = self.connection.recv()
                inbox.put((self, kind, content))
        except (EOFError, OSError):
            self.process.join(5)
            inbox.put((self, "died", self.process.exitcode))

    def assign(self, work: Range) -> None:
        """Hand over a range."""
        self.owed[work.split, work.shard] = {request.index for request in work.requests}
        self.idle = False
        self._send(("range", work))

    def deliver(self, split: str, shard: int, samples: list[Sample]) -> None:
        """Strike off what has arrived."""
        self.in_flight = max(0, self.in_flight - sum(len(sample.token_ids) for sample in samples))
        owed = self.owed.get((split, shard), set())
        owed.difference_update(sample.index for sample in samples)
        if not owed:
            self.owed.pop((split, shard), None)

    def decline(self) -> None:
        """Answer `more`: nothing now."""
        self._send(("nothing", None))

    def cancel(self) -> None:
        """Drop everything it is working on."""
        self.owed.clear()
        self.in_flight = 0
        self._send(("cancel", None))

    def ask_to_stop(self) -> None:
        """Ask the process to end after its present step."""
        self._send(("stop", None))

    def close(self) -> None:
        """Let go of a process that has ended."""
        self.listener.join(END_SECONDS)
        self.connection.close()

    def _send(self, message: tuple[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a dead worker is heard of through its sentinel
            self.connection.send(message)


def stop_all(workers: Sequence[Worker]) -> None:
    """End workers, all at the same time: ask, then terminate, then kill."""
    for worker in workers:
        worker.ask_to_stop()
    processes = [worker.process for worker in workers]
    _wait(processes, GRACE_SECONDS)
    for process in processes:
        if process.is_alive():
            process.terminate()
    _wait(processes, END_SECONDS)
    for process in processes:
        if process.is_alive():
            process.kill()
    _wait(processes, END_SECONDS)
    for worker in workers:
        worker.close()


def _wait(processes: Sequence[BaseProcess], seconds: float) -> None:
    """Wait until all have ended, at most `seconds` altogether."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def worker_environment(number: int, settings: EngineSettings) -> dict[str, str]:
    """Environment variables of worker `number`: its threads on a CPU, or its GPU."""
    if settings.device == "cpu":
        threads = str(settings.threads)
        policy = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
        return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OMP_WAIT_POLICY": policy}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(i) for i in range(number + 1)]
    values = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}
    if settings.deterministic:
        values["CUBLAS_WORKSPACE_CONFIG"] = os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return values


def messages(inbox: "Inbox", seconds: float) -> Iterator[tuple[Worker, str, Any]]:
    """What the workers have said, waiting at most `seconds` for the first message: (worker, kind, content).

    Kinds: `ready`; `step` (tokens of the samples in flight);
    `want` (work, when there is some), `more` (work or `decline`, at once), `samples` (split, shard and
    a list of Sample), `error` (a sentence), `died` (exit code).
    """
    try:
        yield inbox.get(timeout=seconds)
        while True:
            yield inbox.get_nowait()
    except queue.Empty:
        return


class _Link:
    """The worker's end of the connection. `want` is answered when there is work, `more` at once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.queue: deque[Range | None] = deque()
        self.cancelled = self.stopped = False
        self.said_step = 0.0

    def say(self, kind: str, content: Any = None) -> None:
        self.connection.send((kind, content))

    def step(self, tokens: int) -> None:
        """Say how far the samples in flight are, now and then."""
        now = time.monotonic()
        if now - self.said_step >= STEP_SECONDS:
            self.said_step = now
            self.say("step", tokens)

    def poll(self) -> None:
        """Read what has arrived."""
        while self.connection.poll():
            self._take(*self.connection.recv())

    def next(self) -> Range | None:
        """Wait for a range; None when there is nothing now, or on cancel and stop."""
        while not self.queue and not self.stopped and not self.cancelled:
            self._take(*self.connection.recv())
        return self.queue.popleft() if self.queue and not self.stopped else None

    def _take(self, kind: str, content: Range | None) -> None:
        if kind == "stop":
            self.stopped = True
        elif kind == "cancel":
            self.queue.clear()
            self.cancelled = True
        else:
            self.queue.append(content)


def _work(connection: Connection, spec: "ModelSpec", sampling: "Sampling", settings: EngineSettings) -> None:
    """Main function of a worker process."""
    try:
        engine = ENGINES[settings.name].build(spec, sampling, settings)
        connection.send(("ready", None))
        link = _Link(connection)
        while not link.stopped:
            link.cancelled = False
            _serve(engine, link, settings.deterministic)
    except FaithfulError as error:
        _last_words(connection, str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the coordinator is gone: nobody to work for
    except MemoryError:
        _last_words(connection, "A worker ran out of memory; use fewer --workers or a smaller --batch.")
    except Exception as error:  # a worker must say why it ends, whatever the reason
        if "out of memory" in str(error).lower():
            _last_words(connection, "The GPU ran out of memory; use a smaller --batch or --max-tokens.")
        else:
            where = traceback.extract_tb(error.__traceback__)[-1]
            _last_words(connection, f"A worker failed: {type(error).__name__}: {error} ({where.name}).")
    finally:
        connection.close()


def _serve(engine: Any, link: _Link, drain: bool) -> None:
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


def _last_words(connection: Connection, sentence: str) -> None:
    with contextlib.suppress(OSError):
        connection.send(("error", sentence))
