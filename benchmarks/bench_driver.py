"""What the driver of a generation keeps up with: simulated engines at an H200's rate, messages as they are.

python -m benchmarks.bench_driver [--engines 64,256,1024] [--tokens 10000000]      (a minute or two for each)

The engines are simulated in the driver's own process: they answer at once and draw nothing, and the processor time that
they take themselves is not counted. They say all that workers say: `ready`, `want`, `more` halfway through a range, `step`
every 0.2 s of their own time, `drawn` and `shard`. What is measured is the driver's own: unpickling messages, its schedule,
and writing the shards that workers have made, on one thread; Ray's own transport is outside of it. An engine gives 10k
tokens/s, so that n of them ask for n × 10k/s. How fast a worker makes a shard (text, sums, Parquet, checksum) on a thread
beside its engine is said first.
"""

import argparse
import pickle
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import machine
from faithful.executor.protocol import Event, Main, Share
from faithful.executor.where import Here, at
from faithful.models.spec import ModelSpec, resolve_model
from faithful.store.corpus import shard_path
from faithful.store.shard_files import EncodedShard
from generation.own.coordinator import draw_all
from generation.own.schedule import SplitSchedule
from generation.own.workers import MESSAGE_SAMPLES, STEP_SECONDS, Range
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.sampling.seeds import sample_seed
from generation.writing.hand import Hand, Place

ENGINE_RATE, LONGEST, SLOTS = 10_000, 511, 256
STEP_TOKENS = int(ENGINE_RATE * STEP_SECONDS)


class Engines:
    """An executor whose workers answer at once; see `faithful.executor.protocol.Executor`.

    Args:
        spec: of the model whose ids are made up.
        seconds: a list of one number, the processor time that the simulation took.
    """

    replaces = True

    def __init__(self, spec: ModelSpec, rows: int, seconds: list[float]) -> None:
        self.hand, self.seconds = Hand(spec), seconds
        generator = np.random.default_rng(0)
        self.ids = generator.integers(10, spec.vocab_size, 2 * LONGEST).tolist()
        self.log_p = generator.normal(-3.0, 1.0, 2 * LONGEST).tolist()
        samples = [self.sample(Request(i, sample_seed(0, "train", i))) for i in range(rows)]
        self.make(("train", 0), 0, samples[:1])
        began = time.process_time()
        self.model = self.make(("train", 0), 0, samples)
        self.making = time.process_time() - began
        self.turn: list[Simulated] = []

    def make(self, place: Place, number: int, samples: list[Sample]) -> EncodedShard:
        """A shard, really made."""
        self.hand.begin(place, number, samples)
        self.hand.make(place, len(samples))
        self.hand.wait(600)
        ((_, made),) = self.hand.made()
        return made

    def sample(self, request: Request) -> Sample:
        """One that is made up, as `length_of` has it."""
        first = request.seed % LONGEST
        span = slice(first, first + length_of(request))
        return Sample(request.index, request.seed, self.ids[span], "length", self.log_p[span], None)

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *_: object) -> None:
        self.turn.clear()

    def start(self, number: int, share: Share, main: Main, *arguments: Any) -> "Simulated":
        """Another engine."""
        self.turn.append(Simulated(self))
        return self.turn[-1]

    def events(self, seconds: float) -> Iterator[Event]:
        """What the engines say: a message each, in turn, as they lie there where the driver is the slower one."""
        for worker in list(self.turn):
            began = time.process_time()
            packed = worker.message()
            self.seconds[0] += time.process_time() - began
            if packed is not None:
                kind, content = pickle.loads(packed)
                yield worker, kind, content


def length_of(request: Request) -> int:
    """Tokens of a sample: a fifth of the longest to all of it."""
    return LONGEST // 5 + request.seed % (4 * LONGEST // 5)


class Simulated:
    """An engine that has drawn what it is asked for; every shard that it makes has the bytes of the same one."""

    def __init__(self, engines: Engines) -> None:
        self.engines, self.node, self.times, self.unsaid, self.is_last = engines, "here", 0, 0, False
        self.work: deque[tuple[Range, tuple[Request, ...], bool]] = deque()
        self.ranges: dict[Place, Range] = {}
        self.said: deque[tuple[str, Any]] = deque([("ready", None), ("want", 0)])

    def tell(self, kind: str, content: Any = None) -> bool:
        """Take a range, hear that there is no more, or drop all on `cancel`."""
        if kind == "range":
            requests = content.requests
            self.ranges[content.place] = content
            parts = [requests[i : i + MESSAGE_SAMPLES] for i in range(0, len(requests), MESSAGE_SAMPLES)]
            self.is_last = False
            self.work.extend((content, part, place == len(parts) // 2) for place, part in enumerate(parts))
        elif kind == "nothing":
            self.is_last = True
        elif kind == "cancel":
            self.work.clear()
            self.times += 1
            self.is_last = False
            self.said.append(("want", self.times))
        elif kind == "make":
            place, rows = content
            work = self.ranges.pop(place)
            tokens = sum(length_of(request) for request in work.requests[:rows])
            known = self.engines.model
            shard = replace(
                known.shard,
                file=shard_path(work.split, work.number),
                first=work.requests[0].index,
                rows=rows,
                tokens=tokens,
            )
            self.said.append(("shard", (place, EncodedShard(shard, known.content))))
        return True

    def message(self) -> bytes | None:
        """The next message as it goes over a line; None while there is nothing to say."""
        if self.said:
            return pickle.dumps(self.said.popleft())
        if not self.work:
            if not self.is_last:
                return None
            self.is_last = False
            return pickle.dumps(("want", self.times))
        work, part, is_half = self.work.popleft()
        if is_half:
            self.said.append(("more", self.times))
        lengths = {request.index: length_of(request) for request in part}
        steps, self.unsaid = divmod(self.unsaid + sum(lengths.values()), STEP_TOKENS)
        self.said.extend([("step", (self.times, SLOTS * LONGEST // 2))] * steps)
        return pickle.dumps(("drawn", (self.times, work.place, lengths)))


class There(Here):
    """A place of simulated engines."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines

    def executor(self, name: str) -> Any:
        """The engines."""
        return self.engines


def measure(engines: int, tokens: int, rows: int) -> None:
    """Draw and commit a corpus with so many engines; say what the driver took for it."""
    spec = resolve_model("tiny")
    settings = EngineSettings("vllm", "cuda", 1, SLOTS, rows, deterministic=False)
    schedule = SplitSchedule("train", "train", 0, tokens, settings, [], [], [], 0.6 * LONGEST)
    simulated, writing, most = [0.0], [0.0], [0]
    executor = Engines(spec, rows, simulated)
    made_at = executor.model.shard.tokens / executor.making
    with tempfile.TemporaryDirectory() as folder:

        def commit(split: str, place: int, made: EncodedShard, rows: int) -> None:
            began = time.process_time()
            schedule.commit(place, made.write(Path(folder)))
            writing[0] += time.process_time() - began

        def report(point: Any) -> None:
            most[0] = max(most[0], sum(len(made.content) for made in schedule.made.values()))

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, wall = time.process_time(), time.perf_counter()
        with at(There(executor)):
            draw_all([schedule], spec, Sampling(max_tokens=LONGEST), settings, engines, commit, report)
        took = time.process_time() - began - simulated[0]
        wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    drawn, committed = schedule.seen_tokens, schedule.committed_tokens
    print(
        f"{engines:5,} engines, shards of {rows:,} samples, each made at {made_at / 1e6:.2f}M tokens/s by its"
        f" worker: they want {engines * ENGINE_RATE / 1e6:5.2f}M tokens/s: the"
        f" driver commits {committed / took / 1e6:.2f}M/s of its processor time ({took:.1f} s of {wall:.1f} s; writing shards"
        f" {writing[0] / took:.0%}), enough for {committed / took / ENGINE_RATE:,.0f} engines; {committed:,} tokens"
        f" committed of {drawn:,} drawn, at most {most[0] / 2**20:.0f} MiB of shards in hand; peak memory"
        f" {peak / 2**10:,.0f} MiB ({(peak - before) / 2**10:,.0f} MiB more than before)",
        flush=True,
    )


def main() -> None:
    """Measure each number of engines in a process of its own, so that its peak is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="64,256,1024")
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument(
        "--rows", type=int, help="samples per shard; by default so few that every engine has one or two"
    )
    stated = parser.parse_args()
    numbers = [int(number) for number in stated.engines.split(",")]
    if len(numbers) == 1:
        measure(numbers[0], stated.tokens, stated.rows or max(16, round(stated.tokens / 0.6 / LONGEST / numbers[0])))
        return
    import subprocess
    import sys

    print(machine(), flush=True)
    for number in numbers:
        call = [
            sys.executable,
            "-m",
            "benchmarks.bench_driver",
            "--engines",
            str(number),
            "--tokens",
            str(stated.tokens),
        ]
        subprocess.run([*call, *(["--rows", str(stated.rows)] if stated.rows else [])], check=True)


if __name__ == "__main__":
    main()
