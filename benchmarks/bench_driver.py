"""What the driver of a generation keeps up with: simulated engines at an H200's rate, messages as they are.

python -m benchmarks.bench_driver [--engines 64,256,1024] [--tokens 10000000]      (a minute or two for each)

The engines are simulated in the driver's own process: they answer at once and draw nothing, and the processor time that
they take themselves is not counted. What is measured is the driver's own: reading messages, its schedule, and writing
shards (text, Parquet, checksums, manifest), on one thread. An engine gives 10k tokens/s, so that n of them ask for n × 10k/s.
"""

import argparse
import pickle
import resource
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import machine
from faithful.executor.protocol import Event, Main, Share
from faithful.executor.where import Here, at
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document, Shard
from generation.own.coordinator import draw_all
from generation.own.schedule import SplitSchedule
from generation.own.workers import MESSAGE_SAMPLES, Range
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.writing.shards import write_documents

ENGINE_RATE, LONGEST = 10_000, 511


class Engines:
    """An executor whose workers answer at once; see `faithful.executor.protocol.Executor`.

    Args:
        spec: of the model whose ids are made up.
        seconds: a list of one number, the processor time that the simulation took.
    """

    replaces = True

    def __init__(self, spec: ModelSpec, seconds: list[float]) -> None:
        generator = np.random.default_rng(0)
        self.ids = generator.integers(10, spec.vocab_size, 2 * LONGEST).tolist()
        self.log_p = generator.normal(-3.0, 1.0, 2 * LONGEST).tolist()
        self.seconds = seconds
        self.turn: list[Simulated] = []

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


class Simulated:
    """An engine that has drawn what it is asked for."""

    def __init__(self, engines: Engines) -> None:
        self.engines, self.node = engines, "here"
        self.work: deque[tuple[Range, tuple[Request, ...]]] = deque()
        self.said = deque([("want", None)])

    def tell(self, kind: str, content: Any = None) -> bool:
        """Take a range, or drop all on `cancel`."""
        if kind == "range":
            requests = content.requests
            parts = [requests[i : i + MESSAGE_SAMPLES] for i in range(0, len(requests), MESSAGE_SAMPLES)]
            self.work.extend((content, part) for part in parts)
        elif kind == "cancel":
            self.work.clear()
            self.said.append(("want", None))
        return True

    def message(self) -> bytes | None:
        """The next message as it goes over a line; None while there is nothing to say."""
        if self.said:
            return pickle.dumps(self.said.popleft())
        if not self.work:
            return None
        work, part = self.work.popleft()
        if not self.work:
            self.said.append(("want", None))
        return pickle.dumps(("samples", (work.split, work.shard, [self._sample(request) for request in part])))

    def _sample(self, request: Request) -> Sample:
        first, length = request.seed % LONGEST, LONGEST // 5 + request.seed % (4 * LONGEST // 5)
        span = slice(first, first + length)
        ids, log_p = self.engines.ids[span], self.engines.log_p[span]
        return Sample(request.index, request.seed, ids, "length", log_p, None)


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
    tokenizer = load_tokenizer(spec.files, spec.hub_revision())
    settings = EngineSettings("vllm", "cuda", 1, 256, rows, deterministic=False)
    schedule = SplitSchedule("train", "train", 0, tokens, settings, [], [], [], 0.6 * LONGEST)
    simulated, writing = [0.0], [0.0]
    most = [0]
    with tempfile.TemporaryDirectory() as folder:

        def commit(split: str, number: int, samples: list[Sample]) -> None:
            began = time.process_time()
            documents = [Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p, None) for s in samples]
            shard: Shard = write_documents(Path(folder), split, number, documents, spec, tokenizer)
            schedule.commit(number, shard)
            writing[0] += time.process_time() - began

        def report(point: Any) -> None:
            most[0] = max(most[0], sum(len(s.token_ids) for have in schedule.open.values() for s in have.values()))

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, wall = time.process_time(), time.perf_counter()
        with at(There(Engines(spec, simulated))):
            draw_all([schedule], spec, Sampling(max_tokens=LONGEST), settings, engines, commit, report)
        took = time.process_time() - began - simulated[0]
        wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    drawn, committed = schedule.seen_tokens, schedule.committed_tokens
    print(
        f"{engines:5,} engines, shards of {rows} samples: they want {engines * ENGINE_RATE / 1e6:5.2f}M tokens/s: the"
        f" driver commits {committed / took / 1e6:.2f}M/s of its processor time ({took:.1f} s of {wall:.1f} s; writing shards"
        f" {writing[0] / took:.0%}), enough for {committed / took / ENGINE_RATE:.0f} engines; {committed:,} tokens"
        f" committed of {drawn:,} drawn, at most {most[0]:,} in hand; peak memory {peak / 2**10:,.0f} MiB"
        f" ({(peak - before) / 2**10:,.0f} MiB more than before)",
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
