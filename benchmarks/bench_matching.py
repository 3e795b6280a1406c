"""Matching two decoders beside scipy and lapx: `python -m benchmarks.bench_matching [--lapx PYTHON] [--size 18432 --d 2304]`.

Decoders are made up: 40 % of the directions of one occur in the other with cosines around 0.9, the rest points anywhere
(`mixed`); or nothing is shared (`random`, where all cosines are alike and no pair stands out). Every solver runs in a process
of its own on the same rows: product of all cosines and solution timed apart, peak resident memory of the whole process.
scipy's linear_sum_assignment and lapx' lapjv get −S in float64, as they want it. Checked: the sums of cosines are equal, and
ours is proven by potentials over all pairs, computed anew. lapx may live in an environment of its own; without --lapx it is
left out. One line per solver in `results/matching.jsonl`, from where a second call takes it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, read_units, write_unit

SHARED, NOISE = 0.4, 0.48
KINDS = ("mixed", "random")
SOLVERS = ("ours", "scipy", "lapx")
TOLERANCE = 1e-6
CHILD = """
import json, sys, time
import numpy as np
solver, folder = sys.argv[1:]
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
if solver == "ours":
    import torch
    from studies.seeds import assignment
    torch.set_num_threads(int(sys.argv[2].rsplit("-", 1)[1]))
    a, b = (torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in "ab")
    products = []
    make = assignment._Cosines._whole
    def timed(self):
        began, new = time.perf_counter(), self._held is None
        whole = make(self)
        if new and whole is not None:
            products.append(time.perf_counter() - began)
        return whole
    assignment._Cosines._whole = timed
    began = time.perf_counter()
    found = assignment.assign(a, b)
    seconds, used = time.perf_counter() - began, peak()
    assignment._Cosines._whole = make
    proof = assignment.prove(a, b, found)
    told = {"sum": float(found.cosines.sum()), "path": found.path, "excess": proof.excess, "gap": proof.gap}
else:
    a, b = (np.load(f"{folder}/{name}.npy") for name in "ab")
    began = time.perf_counter()
    costs = a @ b.T
    products = [time.perf_counter() - began]
    costs = np.negative(costs, dtype=np.float64)
    began = time.perf_counter()
    if solver == "scipy":
        from scipy.optimize import linear_sum_assignment
        rows, columns = linear_sum_assignment(costs)
    else:
        import lap
        _, columns, _ = lap.lapjv(costs)
        rows = np.arange(len(columns))
    seconds, used = time.perf_counter() - began + sum(products), peak()
    told = {"sum": float(-costs[rows, columns].sum())}
print("RESULT" + json.dumps(told | {"product": sum(products), "solve": seconds - sum(products), "peak_kib": used}))
"""


def decoders(kind: str, size: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two decoders with unit rows, float32 [size, d] each, the second in another order."""
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((size, d), dtype=np.float32) for _ in range(2))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    if kind == "mixed":
        kept = int(SHARED * size)
        other[:kept] = one[:kept] + NOISE * other[:kept]
        other /= np.linalg.norm(other, axis=1, keepdims=True)
    return one, other[rng.permutation(size)]


def solve(solver: str, folder: Path, python: str, threads: int) -> dict[str, Any]:
    """What one solver found, in a process of its own."""
    environment = os.environ | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    done = subprocess.run(
        [python, "-c", CHILD, solver, str(folder)], capture_output=True, text=True, check=False, env=environment
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    if line is None:
        raise SystemExit(f"{solver} failed: {done.stderr.strip().splitlines()[-1:]}")
    return dict(json.loads(line.removeprefix("RESULT")))


def show(found: dict[str, dict[str, Any]]) -> None:
    """A row per solver, and what was asked for."""
    for solver, entry in found.items():
        proof = f", {entry['path']}, gap {entry['gap']:g}, excess {entry['excess']:g}" if solver == "ours" else ""
        print(
            f"  {solver}: product {entry['product']:.1f} s, solution {entry['solve']:.1f} s, peak"
            f" {entry['peak_kib'] / 2**20:.2f} GiB, sum of cosines {entry['sum']:.6f}{proof}"
        )
    ours = found["ours"]
    for solver in ("scipy", "lapx"):
        if solver in found:
            apart = abs(ours["sum"] - found[solver]["sum"]) / abs(found[solver]["sum"])
            print(
                f"  solution {found[solver]['solve'] / ours['solve']:.1f}× as fast as {solver}'s; sums apart by {apart:.1e}"
                f" ({'equal' if apart < TOLERANCE else 'NOT EQUAL'})"
            )
            assert apart < TOLERANCE
    assert ours["gap"] == ours["excess"] == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=18_432, help="rows of each decoder")
    parser.add_argument("--d", type=int, default=2304, help="their width")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the products")
    parser.add_argument("--lapx", help="Python that has lapx")
    parser.add_argument("--results", type=Path, default=RESULTS / "matching.jsonl")
    args = parser.parse_args()
    print(machine())
    for kind in args.kinds:
        print(f"{kind}: {args.size:,} × {args.size:,}, d {args.d:,}, {args.threads} threads")
        found = {}
        with tempfile.TemporaryDirectory(suffix=f"-{args.threads}") as scratch:
            for solver in SOLVERS:
                key = {"kind": kind, "size": args.size, "d": args.d, "threads": args.threads, "solver": solver}
                entry = next((unit["result"] for unit in read_units(args.results) if unit["key"] == key), None)
                if entry is None and (solver != "lapx" or args.lapx):
                    if not (Path(scratch) / "b.npy").exists():
                        for name, rows in zip("ab", decoders(kind, args.size, args.d), strict=True):
                            np.save(Path(scratch) / f"{name}.npy", rows)
                    began = time.perf_counter()
                    python = args.lapx if solver == "lapx" else sys.executable
                    entry = solve(solver, Path(scratch), python, args.threads)
                    print(f"  ({solver} took {time.perf_counter() - began:.0f} s in all)", flush=True)
                    write_unit(args.results, {"key": key, "result": entry})
                if entry is not None:
                    found[solver] = entry
        show(found)


if __name__ == "__main__":
    main()
