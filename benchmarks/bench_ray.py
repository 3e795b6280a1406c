"""Two workers as processes of this machine and as actors of a Ray cluster on it: tokens/s once both draw, and the start.

python -m benchmarks.bench_ray [--tokens 300000] [--rounds 3]      (a quarter of an hour on two idle cores)

The rate is that of the time in which both workers draw; the start is what passed before, for Ray with the start of its
cluster. Which of the two comes first alternates, so that a busy machine is busy for both; its load is printed.
"""

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shared import machine
from faithful.executor.ray_cluster import on_ray
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from tests.command import data_bytes


def draw(out: Path, tokens: int, where: Any) -> tuple[float, float]:
    """Seconds until both workers draw, and tokens per second while they do."""
    began, points = time.perf_counter(), list[tuple[float, int]]()

    def report(point: Any) -> None:
        if point.workers and all(worker["state"] == "drawing" for worker in point.workers):
            points.append((time.perf_counter(), point.done))

    wish = GenerateConfig(
        model="tiny", out=out, tokens=tokens, workers=2, device="cpu", certify_tokens=0, shard_rows=64
    )
    with where:
        generate(wish, report)
    (first, before), (last, after) = points[0], points[-1]
    return first - began, (after - before) / (last - first)


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    stated = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for number in range(stated.rounds):
            rates = {}
            places = [("local", contextlib.nullcontext()), ("ray", on_ray())]
            for kind, where in places if number % 2 == 0 else reversed(places):
                start, rates[kind] = draw(Path(name) / kind / str(number), stated.tokens, where)
                load = os.getloadavg()[0]
                print(
                    f"{kind}: {start:.1f} s until both draw, then {rates[kind]:,.0f}/s (load {load:.1f})",
                    flush=True,
                )
            same = data_bytes(Path(name) / "local" / str(number)) == data_bytes(Path(name) / "ray" / str(number))
            print(
                f"ray / local: {rates['ray'] / rates['local']:.3f}; {'the same' if same else 'OTHER'} bytes", flush=True
            )


if __name__ == "__main__":
    main()
