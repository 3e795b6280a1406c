"""Calibration of the certificate: `python -m benchmarks.calibration [--jobs 2] [--report]`.

Corpora of 4,000 tokens sampled from `tiny` exactly as declared, certified each: 300 through the transformers engine (100
each of T 1; T 0.8 top-p 0.95; top-k 50) and 100 through vLLM (a third each, in a process of its own). A corpus is
consecutive samples, own seeds, until it holds 4,000 tokens. About ten minutes on two cores; one line per corpus in
`benchmarks/results/calibration.jsonl`, and running it again goes on where it stopped.
"""

import argparse
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import (
    RESULTS,
    Doc,
    cut_to,
    fill,
    load_pool,
    machine,
    more_than,
    one_thread,
    read_units,
    summary,
    write_unit,
)
from generation.certificate.p_values import holm
from generation.sampling.distribution import Sampling

TOKENS = 4000
BLOCK = 20
SAMPLINGS = {
    "T 1": Sampling(),
    "T 0.8 top-p 0.95": Sampling(temperature=0.8, top_p=0.95),
    "top-k 50": Sampling(top_k=50),
}
COUNTS = {"transformers": (100, 100, 100), "vllm": (34, 33, 33)}
CONTINUOUS = ("surprise", "repeat", "eos", "late", "serial", "pit")
DISCRETE = ("support", "copy", "first_token")


@dataclass(frozen=True)
class Task:
    """Some corpora of one engine and one sampling."""

    engine: str
    sampling: str
    corpora: range

    def cache(self, results: Path) -> Path:
        number = list(SAMPLINGS).index(self.sampling)
        return results.with_suffix("") / f"{self.engine}-{number}-{self.corpora.start}-{self.corpora.stop}.npz"

    @property
    def name(self) -> str:
        return f"calibration/{self.engine}/{self.sampling}"

    def key(self, corpus: int) -> tuple[str, str, int]:
        return self.engine, self.sampling, corpus


def all_tasks(counts: dict[str, tuple[int, ...]]) -> list[Task]:
    """vLLM first: its samples are drawn in one piece."""
    tasks = []
    for engine in ("vllm", "transformers"):
        for sampling, count in zip(SAMPLINGS, counts[engine], strict=True):
            block = count if engine == "vllm" else BLOCK
            for begin in range(0, count, max(block, 1)):
                tasks.append(Task(engine, sampling, range(begin, min(begin + block, count))))
    return tasks


def draw_in_vllm(task: Task, results: Path) -> None:
    """Fill the cache of a task through vLLM; runs in a process of its own."""
    from faithful.models.spec import resolve_model
    from generation.sampling.engine import EngineSettings
    from generation.sampling.vllm_engine import VllmEngine, set_environment

    os.environ["OMP_NUM_THREADS"] = "1"
    settings = EngineSettings("vllm", "cpu", threads=1, slots=128, shard_rows=512, deterministic=False)
    set_environment(settings)
    engine = VllmEngine(resolve_model("tiny"), SAMPLINGS[task.sampling], settings)
    fill(task.cache(results), task.corpora, TOKENS, task.name, engine.run)


def samples_of(task: Task, model: Any, spec: Any, results: Path) -> dict[int, list[Doc]]:
    """The samples of a task, by corpus."""
    if task.engine == "vllm" and not task.cache(results).exists():
        process = multiprocessing.get_context("spawn").Process(target=draw_in_vllm, args=(task, results))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"vLLM ended with {process.exitcode}")
    if task.engine == "vllm":
        return load_pool(task.cache(results))
    from generation.sampling.transformers_engine import TransformersEngine

    engine = TransformersEngine(model, spec, SAMPLINGS[task.sampling], slots=96)
    return fill(task.cache(results), task.corpora, TOKENS, task.name, engine.run)


def certify(docs: list[Doc], model: Any, spec: Any, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Certificate of one corpus, as declared, with the stored log p."""
    from generation.certificate.score_part import score_part
    from generation.scoring.scored_part import ScoredPart

    part = ScoredPart([doc.ids for doc in docs], np.arange(len(docs)), [doc.log_p for doc in docs], "every document")
    return score_part(part, model, spec, sampling, as_declared=True, seed=seed)


def work(tasks: list[Task], results: Path) -> None:
    """Do the tasks that are not done."""
    one_thread()
    from faithful.models.load import load_model
    from faithful.models.spec import resolve_model

    done = {(unit["engine"], unit["sampling"], unit["corpus"]) for unit in read_units(results)}
    spec = resolve_model("tiny")
    model = load_model(spec, "cpu")
    for task in tasks:
        todo = [corpus for corpus in task.corpora if task.key(corpus) not in done]
        if not todo:
            continue
        pool = samples_of(task, model, spec, results)
        for corpus in todo:
            result = certify(cut_to(pool[corpus], TOKENS), model, spec, SAMPLINGS[task.sampling], corpus)
            unit = {"engine": task.engine, "sampling": task.sampling, "corpus": corpus}
            write_unit(results, unit | summary(result))
        print(f"{task.engine}, {task.sampling}: corpora {task.corpora.start}–{task.corpora.stop - 1}", flush=True)


def report(units: list[dict[str, Any]]) -> None:
    """Print the tables."""
    for engine in COUNTS:
        chosen = [unit for unit in units if unit["engine"] == engine]
        if chosen:
            _report_overall(engine, chosen)
    _report_continuous(units)
    _report_discrete(units)


def _report_overall(engine: str, units: list[dict[str, Any]]) -> None:
    print(f"\n## {engine}: {len(units)} corpora, p_holm < 0.05 (one-sided binomial p must be > 0.01)")
    print(f"{'sampling':18} {'corpora':>7} {'rejected':>8} {'share':>6} {'p':>6}  verdicts; largest delta, mismatch")
    for sampling in [*SAMPLINGS, "all"]:
        rows = [unit for unit in units if sampling in ("all", unit["sampling"])]
        if not rows:
            continue
        hits = sum(unit["p_holm"] < 0.05 for unit in rows)
        counted = {v: sum(u["verdict"] == v for u in rows) for v in sorted({u["verdict"] for u in rows})}
        verdicts = ", ".join(f"{verdict} {count}" for verdict, count in counted.items())
        largest = f"{max(u['delta'] for u in rows):.1e}, {max(u['score_mismatch'] for u in rows):.1e}"
        p = more_than(hits, len(rows), 0.05)
        print(f"{sampling:18} {len(rows):7} {hits:8} {hits / len(rows):6.3f} {p:6.3f}  {verdicts}; {largest}")


def _p_values(units: list[dict[str, Any]], test: str, exact: bool) -> np.ndarray:
    tests = [unit["tests"][test] for unit in units]
    return np.array([t["p"] for t in tests if t.get("p") is not None and bool(t.get("exact")) == exact])


def _report_continuous(units: list[dict[str, Any]]) -> None:
    from scipy.stats import kstest

    print(
        "\n## continuous tests: Kolmogorov–Smirnov of p against uniform (corrected: Holm over the table; must be > 0.01)"
    )
    rows: dict[str, tuple[int, float, float, float]] = {}
    for engine in COUNTS:
        for test in CONTINUOUS:
            p = _p_values([unit for unit in units if unit["engine"] == engine], test, exact=False)
            if len(p) >= 10:
                rows[f"{engine} {test}"] = (len(p), float(np.mean(p < 0.05)), float(kstest(p, "uniform").statistic),
                                            float(kstest(p, "uniform").pvalue))  # fmt: skip
    corrected = holm({name: row[3] for name, row in rows.items()})
    print(f"{'':24} {'n':>4} {'p<.05':>6} {'KS':>6} {'p':>8} {'corrected':>9}   KS p by sampling (uncorrected)")
    for name, (count, share, statistic, p) in rows.items():
        engine, test = name.split()
        parts = []
        for sampling in SAMPLINGS:
            chosen = [unit for unit in units if unit["engine"] == engine and unit["sampling"] == sampling]
            values = _p_values(chosen, test, exact=False)
            parts.append(f"{kstest(values, 'uniform').pvalue:.3f}" if len(values) >= 10 else "-")
        print(f"{name:24} {count:4} {share:6.3f} {statistic:6.3f} {p:8.4f} {corrected[name]:9.3f}   {', '.join(parts)}")
    print("z of surprise, repeat, eos, late, serial: mean and standard deviation (0 and 1 expected)")
    for engine in COUNTS:
        listed = []
        for test in CONTINUOUS[:-1]:
            tests = [unit["tests"][test] for unit in units if unit["engine"] == engine]
            z = np.array([t["z"] for t in tests if "z" in t and not t.get("exact")])
            if len(z) >= 10:
                listed.append(f"{test} {z.mean():+.3f} {z.std(ddof=1):.3f}")
        print(f"  {engine}: {'; '.join(listed)}")


def _report_discrete(units: list[dict[str, Any]]) -> None:
    print("\n## exact and discrete tests: shares of p below 0.01 and 0.05 (one-sided binomial p must be > 0.01)")
    print("first_token is a χ² of few cells (median df stated): discrete, so judged by its shares")
    print(f"{'':28} {'n':>4} {'<.01':>6} {'p':>6} {'<.05':>6} {'p':>6}")
    for engine in COUNTS:
        chosen = [unit for unit in units if unit["engine"] == engine]
        for test, exact in [*((test, False) for test in DISCRETE), ("eos", True), ("repeat", True)]:
            p = _p_values(chosen, test, exact)
            if len(p) == 0:
                continue
            cells = [unit["tests"][test].get("df") for unit in chosen]
            df = [value for value in cells if value is not None]
            note = f"  df {int(np.median(df))}" if df else ""
            low, high = int((p < 0.01).sum()), int((p < 0.05).sum())
            name = f"{engine} {test}{' exact' if exact else ''}"
            print(
                f"{name:28} {len(p):4} {low / len(p):6.3f} {more_than(low, len(p), 0.01):6.3f}"
                f" {high / len(p):6.3f} {more_than(high, len(p), 0.05):6.3f}{note}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--corpora", type=int, nargs=3, help="transformers corpora per sampling, for a short run")
    parser.add_argument("--vllm-corpora", type=int, nargs=3, help="vLLM corpora per sampling")
    parser.add_argument("--results", type=Path, default=RESULTS / "calibration.jsonl")
    parser.add_argument("--report", action="store_true", help="only print the tables of what is there")
    args = parser.parse_args()
    print(machine())
    if not args.report:
        counts = {
            "transformers": tuple(args.corpora or COUNTS["transformers"]),
            "vllm": tuple(args.vllm_corpora or COUNTS["vllm"]),
        }
        tasks = all_tasks(counts)
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=work, args=(tasks[job :: args.jobs], args.results)) for job in range(args.jobs)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            raise SystemExit("a process failed; run the same command again to go on")
    report(read_units(args.results))


if __name__ == "__main__":
    main()
