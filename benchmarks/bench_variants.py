"""What variants of the SAE cost beside topk, and how they do beside their peers: `python -m benchmarks.bench_variants`.

`steps`: CPU time of a step over that of topk, one thread, for every variant with its defaults. Steps of the two take turns; a
round is ten of each, spread over the training, so that schedules and what is done every tenth step count as they do there.
No latent is dead. What finding groups costs comes on top, four times in a training. `topk` itself is held against the
sources of another commit, in a process of its own, on the same batches: the bits of the weights, and the time.

`quality`: see `benchmarks.variants_peers`; `bound`: see `benchmarks.variants_bound`. About a quarter of an hour each, of
`bound` half of that; --quick for small sizes.
"""

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

BEFORE = "5462f50"
LENGTH = 20_000
ROUND = 10
BATCHES = 4
ALIVE = 10**12


def activations(tokens: int, d_in: int) -> Tensor:
    """Sums of 32 of 8·d random directions and a little noise, [tokens, d_in]."""
    made = torch.Generator().manual_seed(0)
    rows = torch.randn(8 * d_in, d_in, generator=made)
    fires = torch.randint(8 * d_in, (tokens, 32), generator=made)
    sizes = torch.rand(tokens, 32, generator=made)
    x = torch.nn.functional.embedding_bag(fires, rows, mode="sum", per_sample_weights=sizes)
    return x + 0.3 * torch.randn(tokens, d_in, generator=made)


def build(x: Tensor, d_sae: int, k: int, **rest: Any) -> Any:
    """A stack of one cell."""
    from faithful.sae.config import StackConfig
    from faithful.sae.stack import Stack

    config = StackConfig(x.shape[1], d_sae, k, (0,), LENGTH, 2e-4, ALIVE, **rest)
    return Stack(config, x.mean(0), float(x.square().sum(1).mean().rsqrt()), "cpu")


def seconds(stack: Any, batch: Tensor, step: int) -> float:
    """CPU time of the step of that number."""
    stack.steps_done = step
    began = time.process_time()
    stack.step(batch)
    return time.process_time() - began


def place(turn: int) -> int:
    """A tenth of the training on with each turn, and a tenth step once in ten turns."""
    turn %= ROUND
    return int((turn + 0.6) / ROUND * LENGTH) // ROUND * ROUND + turn


def compare(name: str, d_sae: int, k: int, batches: list[Tensor], rounds: int) -> tuple[list[float], float, float]:
    """Ratios to topk, round by round; the median of topk's seconds; seconds that finding groups takes beside its step."""
    from faithful.sae.parts.grouped import GROUPING, WINDOW, Grouped
    from faithful.sae.variant import find_variant

    variant = find_variant(name, {})
    stacks = [build(batches[0], d_sae, k), build(batches[0], d_sae, k, variant=variant)]
    spent = [[seconds(s, batches[t % BATCHES], place(t)) for s in stacks] for t in range((rounds + 1) * ROUND)][ROUND:]
    ratios = []
    for first in range(0, len(spent), ROUND):
        ours, theirs = (sum(pair[side] for pair in spent[first : first + ROUND]) for side in (1, 0))
        ratios.append(ours / theirs)
    grouping = 0.0
    if isinstance(variant, Grouped):
        last, window = int(GROUPING[-1] * LENGTH), WINDOW // len(batches[0])
        for step in range(last - window, last):
            seconds(stacks[1], batches[step % BATCHES], step)
        grouping = seconds(stacks[1], batches[0], last) - median(pair[1] for pair in spent)
    return ratios, median(pair[0] for pair in spent), grouping


def steps(args: argparse.Namespace) -> None:
    """Print the ratios of all variants, then topk's to another commit."""
    from benchmarks.shared import machine
    from faithful.sae.variant import variant_names

    torch.set_num_threads(1)
    print(f"{machine()}; one thread; batches of {args.batch}, d {args.d_in}, k {args.k}; load {os.getloadavg()[0]:.1f}")
    batches = list(activations(BATCHES * args.batch, args.d_in).split(args.batch))
    for width in args.widths:
        print(f"\nF {width:,}: CPU time of a step over topk's, median and range over {args.rounds} rounds of {ROUND}")
        for name in args.only or variant_names():
            ratios, base, grouping = compare(name, width, args.k, batches, args.rounds)
            once = f"; groups are found in {grouping:.2f} s" if grouping else ""
            print(f"  {name:15} {spread(ratios)}  (topk {1000 * base:.0f} ms{once})", flush=True)
    if args.before == "none":
        return
    for width in args.widths:
        times, same = against(args.before, width, args)
        verdict = "the same bits" if same else "OTHER BITS"
        print(f"\ntopk now over {args.before}, F {width:,}: {spread(times)}, {verdict} after {4 * args.blocks} steps")
    print(f"load {os.getloadavg()[0]:.1f}")


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


@contextmanager
def sources(commit: str) -> Iterator[Path]:
    """The package as a commit has it."""
    top = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["git", "archive", commit, "faithful"], cwd=top, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def against(commit: str, width: int, args: argparse.Namespace) -> tuple[list[float], bool]:
    """Ratios of topk's time now to that of a commit, block by block of four steps, and whether the weights' bits agree."""
    with sources(commit) as folder:
        sides = []
        for tree in (Path(__file__).parent.parent, folder):
            shape = [str(number) for number in (width, args.k, args.d_in, args.batch)]
            process = subprocess.Popen(
                [sys.executable, __file__, "worker", *shape], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}, cwd=folder,
            )  # fmt: skip
            sides.append(process)
        spent = [[float(ask(process, "steps")) for process in sides] for _ in range(args.blocks)]
        hashes = [ask(process, "hash") for process in sides]
        for process in sides:
            process.communicate()
    return [now / then for now, then in spent[1:]], hashes[0] == hashes[1]


def ask(process: Any, what: str) -> str:
    """A worker's answer."""
    process.stdin.write(what + "\n")
    process.stdin.flush()
    return str(process.stdout.readline()).strip()


def worker(d_sae: int, k: int, d_in: int, batch: int) -> None:
    """Make steps as asked on standard input, four at a time; answer with their CPU time, or the weights' hash."""
    torch.set_num_threads(1)
    batches = list(activations(BATCHES * batch, d_in).split(batch))
    stack = build(batches[0], d_sae, k)
    for line in sys.stdin:
        if line.strip() == "hash":
            digest = hashlib.sha256()
            for name in sorted(stack.weights):
                digest.update(stack.weights[name].contiguous().numpy().data)
            print(digest.hexdigest(), flush=True)
        else:
            print(sum(seconds(stack, x, stack.steps_done) for x in batches), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        worker(*(int(number) for number in sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "quality", "bound"])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it")
    parser.add_argument("--widths", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--d-in", type=int, default=768)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--only", nargs="+", help="these variants, or these systems")
    parser.add_argument(
        "--before", default=BEFORE, metavar="COMMIT", help="topk is held against it; `none` leaves it out"
    )
    parser.add_argument(
        "--dictionary-learning", default=sys.executable, metavar="PYTHON", help="interpreter that has it"
    )
    args = parser.parse_args()
    if args.quick:
        args.widths, args.d_in, args.k, args.batch, args.rounds, args.blocks = [512], 64, 8, 128, 2, 4
    if args.what == "steps":
        steps(args)
        return
    if args.what == "bound":
        from benchmarks.variants_bound import bound

        bound(args.quick)
        return
    from benchmarks.variants_peers import quality

    quality(args.dictionary_learning, args.quick, args.only)


if __name__ == "__main__":
    main()
