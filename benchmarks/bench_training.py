"""Training a grid of SAEs beside SAELens, dictionary_learning and sparsify: `python -m benchmarks.bench_training`.

On a CPU: a GPT-2 of the small shape with random weights, residual stream before layer 8, 12,288 latents, k 16, contexts of
128 tokens; S seeds for S in --seeds. Each system runs by its own trainer in a process of its own with two threads, on the
same contexts, with the same learning rate, batch, k, buffer and contexts per forward pass (see `training_peers`). Systems
take turns; ratios are taken per repetition. Besides: quality after more steps on the embedded model's activations, share of
the roofline, an operation profile, and equality to the dense reference. About half an hour.

Finished units are kept in `results/training.jsonl`: a killed run goes on, a finished one does nothing, --report prints again.
dictionary_learning wants other versions than ours, so it may have an environment of its own: --dictionary-learning PYTHON.
With a GPU the same file measures ours against the dense reference there instead (--cpu: the above all the same).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, read_units, write_unit
from benchmarks.training_flops import (
    THREADS,
    Workload,
    encoder_flops,
    forward_flops,
    gpu,
    must_flops,
    roofline_seconds,
    sparse_flops,
)
from benchmarks.training_peers import NOTES, SYSTEMS, prepare

GPT2 = Workload(
    name="gpt2", model="random", layers=12, d_in=768, heads=12, vocab=50_257, layer=8, d_sae=12_288, k=16, contexts=128,
    batch_contexts=16, buffer_batches=4, held_out=64,
)  # fmt: skip
QUALITY = Workload(
    name="quality", model="tiny", layers=4, d_in=256, heads=4, vocab=4096, layer=2, d_sae=2048, k=16, contexts=1600,
    batch_contexts=4, forward_contexts=4, buffer_batches=32, held_out=256, lr=6e-4, dead_share=0.05,
)  # fmt: skip
SMALL = replace(
    GPT2, name="gpt2-quick", layers=4, d_in=64, heads=2, vocab=4096, layer=3, d_sae=512, k=8, contexts=64, batch_contexts=8,
    held_out=16, forward_contexts=8,
)  # fmt: skip
SMALL_QUALITY = replace(QUALITY, name="quality-quick", d_sae=512, contexts=160, buffer_batches=8, held_out=32)
SMOLLM2 = replace(
    GPT2, name="smollm2", model="real:smollm2", layers=30, d_in=576, heads=9, vocab=49_152, layer=15, d_sae=1152, k=32,
)  # fmt: skip
LOOPS = ("saelens-multi", "dictionary_learning")
ALONE = ("saelens", "sparsify")
OFTEN = 4
QUALITY_SEEDS = 4
TASKS = ("peak", "profile", "equality", "quality")
PROFILED, SHOWN = 4, 12
EQUAL_STEPS, EQUAL_CONTEXTS = 50, 2
ENVIRONMENT = {
    "OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore",
}  # fmt: skip

Key = dict[str, Any]


def wanted(work: Workload, quality: Workload, seeds: list[int], repeats: int) -> list[Key]:
    """What to measure, in order.

    Loops over trainers cost most: beyond the first repetition they run at `OFTEN` seeds only. SAELens' runs
    of one seed come twice per repetition and count as often as there are seeds.
    """
    keys = []
    for repeat in range(repeats):
        keys.append(_key("peak", work, repeat=repeat))
        for system in ALONE:
            keys.append(_train(work, system, 1, 2 * repeat, repeat))
        for count in seeds:
            keys.append(_train(work, "ours", count, 0, repeat))
            for system in LOOPS:
                if (not repeat or count == OFTEN) and (count > 1 or system != "saelens-multi"):
                    keys.append(_train(work, system, count, 0, repeat))
        keys.append(_train(work, "saelens", 1, 2 * repeat + 1, repeat))
    keys += [_key("peak", work, repeat=repeats), _key("profile", work), _key("equality", work)]
    for repeat in range(QUALITY_SEEDS if repeats > 1 else 1):
        keys += [_train(quality, system, 1, repeat, repeat) for system in ("ours", *ALONE, "dictionary_learning")]
    return keys


def _train(work: Workload, system: str, seeds: int, first: int, repeat: int) -> Key:
    return _key("train", work, system=system, seeds=seeds, first=first, repeat=repeat)


def _key(task: str, work: Workload, **rest: Any) -> Key:
    return {"task": task, "workload": asdict(work), **rest}


def _labels(key: Key) -> set[str]:
    """What --only may call a unit."""
    part = "quality" if key["workload"]["model"] == "tiny" else "grid"
    return {part if key["task"] == "train" else "", str(key.get("system", key["task"]))}


def run(keys: list[Key], results: Path, python: dict[str, str]) -> None:
    """Measure what is missing, each unit in a process of its own, and keep it. A unit that fails is told and left out."""
    done = [unit["key"] for unit in read_units(results)]
    missing = [key for key in keys if key not in done]
    failed: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        for place, key in enumerate(missing, 1):
            system = key.get("system", key["task"])
            if system in failed:
                continue
            folder = _prepared(Path(scratch), key["workload"])
            began = time.perf_counter()
            try:
                result = _result(key, folder, python.get(system, sys.executable))
            except RuntimeError as error:
                failed.add(system)
                _tell(f"{system}: not measured: {error}")
                continue
            load = round(os.getloadavg()[0], 2)
            write_unit(results, {"key": key, "result": result, "load": load, "at": time.strftime("%Y-%m-%d %H:%M")})
            seeds = f" with {key['seeds']} seeds" if "seeds" in key else ""
            spent = f", {result['seconds']:.1f} s of training" if key["task"] == "train" else ""
            took = f"{time.perf_counter() - began:.0f} s{spent}"
            _tell(f"{place}/{len(missing)} {key['workload']['name']}: {system}{seeds}, {took}")


def _prepared(scratch: Path, workload: dict[str, Any]) -> Path:
    """The folder that the systems share, made at its first use."""
    folder = scratch / workload["name"]
    if not folder.exists():
        folder.mkdir()
        (folder / "wanted.json").write_text(json.dumps(workload), encoding="utf-8")
        _tell(f"{workload['name']}: root mean square of the activations {_call(['prepare', str(folder)])['rms']:.4f}")
    return folder


def _result(key: Key, folder: Path, python: str) -> dict[str, Any]:
    if key["task"] == "peak":
        return _call([str(folder / "workload.json")], "benchmarks.training_flops")
    if key["task"] != "train":
        return _call([key["task"], str(folder)])
    arguments = [key["system"], str(folder), str(key["seeds"]), str(key["first"]), "no" if key["repeat"] else "count"]
    return _call(arguments, "benchmarks.training_peers", python)


def _call(
    arguments: list[str], module: str = "benchmarks.bench_training", python: str = sys.executable
) -> dict[str, Any]:
    flag = ["--task"] if module.endswith("bench_training") else []
    done = subprocess.run(
        [python, "-m", module, *flag, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ENVIRONMENT,
        cwd=Path(__file__).parent.parent,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        raise RuntimeError("".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}")
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT"))
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def profile(work: Workload, folder: Path) -> dict[str, Any]:
    """Operations of ours at `PROFILED` seeds by their share of the time, forward passes included, first batch left out."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from benchmarks.training_peers import build_ours

    stream, stack = build_ours(replace(work, buffer_batches=2), folder, list(range(PROFILED)))
    batches = iter(stream)
    stack.step(next(batches))
    with profiler(activities=[ProfilerActivity.CPU]) as recorded:
        for x in batches:
            stack.step(x)
    events = sorted(recorded.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    top = [[event.key, event.self_cpu_time_total / total, event.count] for event in events[:SHOWN]]
    return {"seeds": PROFILED, "steps": stack.steps_done - 1, "seconds": total / 1e6, "top": top}


def equality(work: Workload, folder: Path) -> dict[str, Any]:
    """The second of two stacked cells against the dense reference: `EQUAL_STEPS` steps, dead after two silent batches."""
    import torch

    from faithful.hooks.hook import Hook
    from faithful.hooks.truncated import TruncatedModel
    from faithful.models.load import load_model
    from faithful.models.spec import resolve_model
    from faithful.sae.config import StackConfig
    from faithful.sae.stack import Stack, init_weights
    from tests.dense_reference import DenseTrainer

    model = TruncatedModel(
        load_model(resolve_model(str(folder / "model"), dtype="float32"), "cpu"), Hook(work.layer, "resid_pre")
    )
    rows = torch.from_numpy(np.load(folder / "rows.npy")[: EQUAL_STEPS * EQUAL_CONTEXTS])
    batches = [model(part)[:, 1:].flatten(0, 1) for part in rows.split(EQUAL_CONTEXTS)]
    window = 2 * len(batches[0])
    config = StackConfig(work.d_in, work.d_sae, work.k, (0, 1), len(batches), work.lr, window)
    mean, scale = batches[0].mean(0), float(batches[0].square().sum(1).mean().rsqrt())
    stack, reference = Stack(config, mean, scale, "cpu"), DenseTrainer(config, mean, scale, cell=1)
    apart, dead = dict.fromkeys(("loss", "fvu", "aux", "grad_norm"), 0.0), 0
    for x in batches:
        stack.step(x)
        expected, found = reference.step(x), stack.metrics()[1]
        dead = max(dead, found["dead_in_training"])
        for name in apart:
            apart[name] = max(apart[name], abs(found[name] - expected[name]) / max(abs(expected[name]), 1e-6))
    theirs = {name: getattr(reference, name).detach() for name in stack.weights}
    theirs["W_enc"] = theirs["W_enc"].T
    begun = init_weights(1, work.d_in, work.d_sae)
    moved = {name: float((theirs[name] - begun).norm()) for name in ("W_enc", "W_dec")}
    weights = {name: float((stack.weights[name][1] - theirs[name]).norm()) / moved[name] for name in moved}
    silent = int((stack.silent[1] != reference.silent).sum())
    return {
        "steps": len(batches), "batch": len(batches[0]), "dead": dead, "apart": apart, "weights": weights,
        "silent": silent,
    }  # fmt: skip


class Found:
    """Stored results of two workloads, by system and number of seeds, repetition by repetition.

    Args:
        results: the file.
        work, quality: results of other settings are left out.
    """

    def __init__(self, results: Path, work: Workload, quality: Workload) -> None:
        self.work = work
        self.trained: dict[tuple[str, str, int], dict[int, list[Any]]] = {}
        self.tasks: dict[str, list[Any]] = {}
        for unit in read_units(results):
            key, result = unit["key"], unit["result"]
            name = next((w.name for w in (work, quality) if key["workload"] == asdict(w)), None)
            if name is None:
                continue
            if key["task"] == "train":
                runs = self.trained.setdefault((name, key["system"], key["seeds"]), {})
                runs.setdefault(key["repeat"], []).append(result | {"first": key["first"]})
            else:
                self.tasks.setdefault(key["task"], []).append(result)

    def runs(self, name: str, system: str, seeds: int) -> list[Any]:
        """All results of a system."""
        return [result for results in self.trained.get((name, system, seeds), {}).values() for result in results]

    def seconds(self, system: str, seeds: int) -> dict[int, float]:
        """Time of the whole grid by repetition; where a run makes one seed, that of as many runs."""
        alone = system in ALONE
        runs = self.trained.get((self.work.name, system, 1 if alone else seeds), {})
        times = seeds if alone else 1
        return {repeat: times * float(np.mean([r["seconds"] for r in found])) for repeat, found in runs.items()}

    def flops(self, system: str, seeds: int) -> float | None:
        """Counted FLOPs per activation of the whole grid."""
        counted = self.counted(system)
        if counted is None:
            return None
        alone = system in ALONE
        return (seeds if alone else 1) * counted["forward"] + seeds * counted["cell"]

    def counted(self, system: str) -> dict[str, float] | None:
        """Counted FLOPs per activation of the forward pass and of one cell."""
        for (name, found, _), runs in self.trained.items():
            for run in runs.get(0, []):
                if name == self.work.name and found == system and run["flops"]:
                    return dict(run["flops"])
        return None

    def rates(self) -> dict[str, float]:
        """Best rate of this machine's dense products, by shape."""
        return {name: max(peak[name] for peak in self.tasks["peak"]) for name in self.tasks["peak"][0]}


def report(results: Path, work: Workload, quality: Workload, seeds: list[int]) -> None:
    """Print what is stored."""
    found = Found(results, work, quality)
    if not found.trained and not found.tasks:
        print(f"Nothing of these settings is stored in {results.name}.")
        return
    print(f"{machine()}; {THREADS} threads per process, float32\n")
    ids = "its own" if work.name == SMOLLM2.name else "the embedded model's"
    print(
        f"{work.name}: {work.model} weights, {work.layers} layers of width {work.d_in}, residual stream before layer"
        f" {work.layer}, {work.d_sae:,} latents, k {work.k}; {work.activations:,} activations in {work.steps} steps of"
        f" {work.batch:,}, buffer of {work.buffer:,}, lr {work.lr:g}; the embedded novels in"
        f" {ids} token ids, contexts of {work.context}"
    )
    versions: dict[str, str] = {}
    for by_repeat in found.trained.values():
        versions |= {name: v for runs in by_repeat.values() for name, v in runs[0]["versions"].items()}
    print("; ".join(f"{name} {v}" for name, v in versions.items() if name not in ("torch", "transformers")))
    for system, note in NOTES.items():
        print(f"  {system}: {note}")
    if work.name != SMOLLM2.name:
        _print_flops(found, seeds)
    _print_profile(found)
    _print_times(found, seeds)
    _print_roofline(found, seeds)
    _print_quality(found, work, seeds)
    _print_quality(found, quality, [1])
    _print_memory(found, seeds)
    _print_equality(found)


def _print_flops(found: Found, seeds: list[int]) -> None:
    work = found.work
    needed = ", ".join(f"S={count} {must_flops(work, count) / 1e6:,.1f}" for count in seeds)
    print(
        f"\nProducts per activation, counted, in MFLOP. Needed: forward {forward_flops(work) / 1e6:.2f}, per cell"
        f" {encoder_flops(work) / 1e6:.2f} dense and {sparse_flops(work) / 1e6:.2f} sparse; {needed}"
    )
    for system in SYSTEMS:
        counted = found.counted(system)
        if counted:
            parts = f"forward {counted['forward'] / 1e6:.2f}, per cell" if counted["forward"] else "in all"
            grids = ", ".join(f"S={count} {(found.flops(system, count) or 0) / 1e6:,.1f}" for count in seeds)
            print(f"  {system} does: {parts} {counted['cell'] / 1e6:.2f}; {grids}")


def _print_profile(found: Found) -> None:
    for profiled in found.tasks.get("profile", [])[-1:]:
        print(f"\nours, {profiled['seeds']} seeds, {profiled['steps']} steps: operations by their own time")
        for name, share, count in profiled["top"]:
            print(f"  {share:6.1%}  {name} ({count:,} calls)")


def _print_times(found: Found, seeds: list[int]) -> None:
    unused = max((r["unused"] for runs in found.trained.values() for rs in runs.values() for r in rs), default=0.0)
    print(
        "\nWhole grid: seconds (range over repetitions); ratio to ours; by counted FLOPs; share of that reached (target 85 %)"
        f".\nForward passes for what stays in a buffer at the end are taken off the peers' times: up to {unused:.1f} s."
    )
    for count in seeds:
        mine = found.seconds("ours", count)
        if not mine:
            continue
        print(f"  S={count} ours {_spread(mine.values())} s{_forward(found, 'ours', count)}")
        for system in [*ALONE, *LOOPS]:
            theirs = found.seconds(system, count)
            ratios = [theirs[repeat] / mine[repeat] for repeat in theirs if repeat in mine]
            one, other = found.flops(system, count), found.flops("ours", count)
            if not ratios or not one or not other:
                continue
            print(
                f"      {system} {_spread(theirs.values())} s{_forward(found, system, count)}, ratio {_spread(ratios, 2)};"
                f" FLOPs {one / other:.2f}; reached {median(ratios) / (one / other):.0%}"
            )
    four, single = found.seconds("ours", 4), found.seconds("ours", 1)
    growth = [four[repeat] / single[repeat] for repeat in four if repeat in single]
    if growth and found.work.name != SMOLLM2.name:
        by_flops = must_flops(found.work, 4) / must_flops(found.work, 1)
        print(f"  ours: S=4 costs {_spread(growth, 2)} × S=1 (FLOPs {by_flops:.2f}, target 1.6 at most)")


def _forward(found: Found, system: str, seeds: int) -> str:
    """How much of the time went into forward passes, where that can be told."""
    alone = system in ALONE
    seconds = [run["forward"] for run in found.runs(found.work.name, system, 1 if alone else seeds)]
    return f" (forward {median(seconds) * (seeds if alone else 1):.1f})" if any(seconds) else ""


def _print_roofline(found: Found, seeds: list[int]) -> None:
    if "peak" not in found.tasks:
        return
    work, rates = found.work, found.rates()
    shown = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
    print(f"\nDense products of this machine, GFLOP/s at the same shapes, best of the run: {shown}")
    for count in seeds:
        times = found.seconds("ours", count)
        if times:
            roof = roofline_seconds(work, count, rates)
            shares = [roof / seconds for seconds in times.values()]
            made = [work.activations * must_flops(work, count) / seconds / 1e9 for seconds in times.values()]
            print(
                f"  S={count} ours: {_spread(shares, 2)} of the roofline of {roof:.1f} s (target 0.60),"
                f" {_spread(made, 0)} GFLOP/s of needed work"
            )


def _print_quality(found: Found, work: Workload, seeds: list[int]) -> None:
    figures = {}
    for system in SYSTEMS:
        runs = [run for count in [1, *seeds] for run in found.runs(work.name, system, count)]
        by_seed = {
            run["first"] + i: pair for run in runs for i, pair in enumerate(zip(run["fvu"], run["never"], strict=True))
        }
        if runs:
            figures[system] = list(zip(*by_seed.values(), strict=True))
    if not figures:
        return
    rule = (
        "too few for AuxK, and mostly the start"
        if work.dead_share is None
        else f"dead after {work.dead_tokens:,} tokens"
    )
    print(
        f"\nHeld-out quality, {work.name} ({work.model} model, {work.d_sae:,} latents, {work.steps} steps of {work.batch:,},"
        f" {rule}): fvu; share of latents that never fire on {work.held_out * (work.context - 1):,} activations"
    )
    for system, (fvu, never) in figures.items():
        print(f"  {system} {_spread(fvu, 4)}; {_spread(never, 4)} ({len(fvu)} seeds)")
    if "ours" not in figures or len(figures) == 1:
        return
    for place, name, target in ((0, "fvu", "+1 % at most"), (1, "never fire", "no more")):
        peers = {system: fmean(found[place]) for system, found in figures.items() if system != "ours"}
        best, mine = min(peers, key=lambda system: peers[system]), fmean(figures["ours"][place])
        apart = f"{mine / peers[best] - 1:+.2%}" if peers[best] else f"{mine:.4f} to 0"
        print(f"  {name}, means: ours against the best peer, {best}: {apart} (target {target})")


def _print_memory(found: Found, seeds: list[int]) -> None:
    print("\nPeak resident memory of the process, MiB (in brackets: before training, model loaded)")
    for system in SYSTEMS:
        shown = []
        for count in seeds:
            runs = found.runs(found.work.name, system, count)
            if runs:
                peak, before = (max(run[name] for run in runs) / 1024 for name in ("peak_kib", "before_kib"))
                shown.append(f"S={count} {peak:,.0f} ({before:,.0f})")
        if shown:
            print(f"  {system}: {', '.join(shown)}")


def _print_equality(found: Found) -> None:
    for equal in found.tasks.get("equality", [])[-1:]:
        apart = ", ".join(f"{name} {value:.1e}" for name, value in equal["apart"].items())
        weights = ", ".join(f"{name} {value:.1e}" for name, value in equal["weights"].items())
        print(
            f"\nDense reference, at the grid's width, {equal['steps']} steps of {equal['batch']}, up to {equal['dead']:,}"
            f" latents dead: largest relative differences in a step: {apart}; weights after the last, in units of how far"
            f" they moved: {weights}; dead counters that differ: {equal['silent']}"
        )


def _spread(values: Any, digits: int = 1) -> str:
    """Median, and the range where there are several."""
    found = sorted(values)
    shown = f"{median(found):.{digits}f}"
    return shown if len(found) < 2 else f"{shown} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"


def task(name: str, folder: Path) -> dict[str, Any]:
    """A unit of this file, in a process of its own."""
    import torch

    torch.set_num_threads(THREADS)
    if name == "prepare":
        return {"rms": prepare(Workload(**json.loads((folder / "wanted.json").read_text(encoding="utf-8"))), folder)}
    work = Workload(**json.loads((folder / "workload.json").read_text(encoding="utf-8")))
    if name == "profile":
        return profile(work, folder)
    return equality(work, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small shapes, to try it; nothing is kept")
    parser.add_argument(
        "--smollm2",
        action="store_true",
        help="the grid on SmolLM2-135M, at the hook of recipe `real`, beside SAELens alone",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument(
        "--tokens", type=int, help="activations that each SAE of the grid is trained on (default 16,256)"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", default=[], choices=[*SYSTEMS, *TASKS, "grid"], help="units of these names"
    )
    parser.add_argument("--report", action="store_true", help="print what is stored")
    parser.add_argument(
        "--dictionary-learning", default=sys.executable, metavar="PYTHON", help="interpreter that has it"
    )
    parser.add_argument("--cpu", action="store_true", help="the comparison on the CPU, although there is a GPU")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        print("RESULT" + json.dumps(task(args.task[0], Path(args.task[1]))))
        return
    if not args.cpu and _has_gpu():
        gpu(["gpt2", "pythia-1.4b"], [count for count in args.seeds if count != 2])
        return
    work, quality = (SMALL, SMALL_QUALITY) if args.quick else (SMOLLM2 if args.smollm2 else GPT2, QUALITY)
    if args.tokens:
        steps = max(work.buffer_batches, round(args.tokens / work.batch))
        work = replace(work, contexts=steps * work.batch_contexts)
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "training.jsonl" if args.quick else RESULTS / "training.jsonl"
        if not args.report:
            keys = wanted(work, quality, args.seeds, args.repeats)
            only = args.only or (["ours", "saelens", "saelens-multi"] if args.smollm2 else [])
            keys = [key for key in keys if not only or _labels(key) & set(only)]
            keys = [key for key in keys if not args.smollm2 or key["workload"]["name"] == work.name]
            run(keys, results, {"dictionary_learning": args.dictionary_learning})
        report(results, work, quality, args.seeds)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
