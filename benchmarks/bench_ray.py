"""Workers as processes of this machine and as actors of a Ray cluster on it: tokens/s once all draw, and the start.

python -m benchmarks.bench_ray [--workers 2] [--tokens 100000] [--rounds 3]      (ten minutes on two idle cores)

The rate is that of the time in which all workers draw, the start what passed before. `local` is measured without a cluster
and beside one that is idle, since the processes of a cluster's head cost what they cost whoever draws. The order turns
round by round, so that a machine that others use is busy for all; its load is printed.
"""

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.shared import machine
from faithful.executor.ray_cluster import connected, on_ray
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from tests.command import data_bytes


def draw(out: Path, tokens: int, workers: int, where: Any) -> tuple[float, float]:
    """Seconds until all workers draw, and tokens per second while they do."""
    began, points = time.perf_counter(), list[tuple[float, int]]()

    def report(point: Any) -> None:
        if point.workers and all(worker["state"] == "drawing" for worker in point.workers):
            points.append((time.perf_counter(), point.done))

    wish = GenerateConfig(
        model="tiny", out=out, tokens=tokens, workers=workers, device="cpu", certify_tokens=0, shard_rows=64
    )
    with where:
        generate(wish, report)
    (first, before), (last, after) = points[0], points[-1]
    return first - began, (after - before) / (last - first)


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    stated = parser.parse_args()
    print(machine(), flush=True)
    kinds = {"local": contextlib.nullcontext, "local beside a cluster": connected, "ray": on_ray}
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        for number in range(stated.rounds):
            for kind, where in list(kinds.items())[:: 1 if number % 2 == 0 else -1]:
                start, rate = draw(Path(name) / kind / str(number), stated.tokens, stated.workers, where())
                rates[kind].append(rate)
                load = os.getloadavg()[0]
                print(f"{kind}: {start:.1f} s until all draw, then {rate:,.0f}/s (load {load:.1f})", flush=True)
            every = {str(data_bytes(Path(name) / kind / str(number))) for kind in kinds}
            print("the same bytes" if len(every) == 1 else "OTHER bytes", flush=True)
    for kind in list(kinds)[:-1]:
        ratios = [ray / other for ray, other in zip(rates["ray"], rates[kind], strict=True)]
        print(
            f"ray / {kind}: {sum(rates['ray']) / sum(rates[kind]):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
