"""Calibration against what was drawn: `python -m benchmarks.sampling_calibration [RUN ...] [--exchanges 20000]`.

Where two corpora's SAEs do not differ, their answers to an example (their losses on a context) could be exchanged. So they
are, example by example at random and for all seeds at once, and each exchange goes through the studies' own contrast:
whatever it finds is chance. Asked for: at most 5.5 % rejected at 5 %. `seeds alone` is the test that leaves out the examples
drawn. Answers are those of finished studies of runs (probes on each task and on all, `ce_recovered` on each part and on
all), where RUN is given; always simulated ones: probes of 6 seeds that are right by example, seed and chance, and differences
of losses with a heavy tail. Fakes are not exchanged: their counts are kept per text and not per context. One line per row in
`benchmarks/results/sampling_calibration.jsonl`; minutes on one core.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, write_unit
from faithful.base.records import read_cache
from studies.probes.score import FULL, unpack
from studies.probes.scores import SCORES
from studies.statistics.estimates import estimate
from studies.statistics.resampled import Resampled, resample_counts

ALPHA, ASKED = 0.05, 0.055
SEEDS = 6
LEVELS = (0.05, 0.01, 0.001)


def exchanged(differences: Sequence[np.ndarray], exchanges: int, seed: int) -> dict[str, Any]:
    """Rejections of the mean over several sets of examples (tasks, parts), with and without the examples' draw.

    Args:
        differences: of each set what the mean over its examples is the contrast's figure, float64 [seeds, examples].
        exchanges: how often.
        seed: of the exchanges and of the resamples.
    """
    rng = np.random.default_rng([seed, len(differences), *(x.shape[1] for x in differences)])
    counts = [resample_counts(x.shape[1], seed, f"set {place}") / x.shape[1] for place, x in enumerate(differences)]
    p: dict[str, list[float]] = {"seeds alone": [], "with examples": []}
    for _ in range(exchanges):
        sets = []
        for x, weights in zip(differences, counts, strict=True):
            turned = x * rng.choice([-1.0, 1.0], x.shape[1])
            draws = {place: weights @ row for place, row in enumerate(turned)}
            sets.append(Resampled(dict(enumerate(turned.mean(1).tolist())), draws, x.shape[1]))
        both = Resampled.mean(sets)
        for name, figures in (("seeds alone", dict(both)), ("with examples", both)):
            found = estimate(figures).p
            p[name].append(1.0 if found is None else found)
    return {name: {str(level): float((np.array(of) < level).mean()) for level in LEVELS} for name, of in p.items()}


def simulated() -> Iterator[tuple[str, list[np.ndarray]]]:
    """Differences of answers that are right by example, by seed and by chance; of losses with a heavy tail."""
    for tasks, examples, spread in ((1, 256, 0.3), (4, 256, 0.3), (4, 256, 0.1), (4, 2000, 0.3)):
        rng = np.random.default_rng([tasks, examples, int(100 * spread)])
        sets = []
        for _ in range(tasks):
            chance = np.clip(0.75 + spread * rng.standard_normal((2, 1, examples)), 0.02, 0.98)
            chance = np.clip(chance + 0.01 * rng.standard_normal((2, SEEDS, 1)), 0.0, 1.0)
            one, other = rng.random((2, SEEDS, examples)) < chance
            sets.append(one.astype(np.float64) - other)
        yield f"simulated answers, {tasks} × {examples} examples, spread {spread:g}", sets
    for contexts in (22, 100, 1000):
        rng = np.random.default_rng(contexts)
        shared = 0.01 * rng.standard_t(4, contexts)
        yield f"simulated losses, {contexts} contexts", [shared + 0.005 * rng.standard_t(4, (SEEDS, contexts))]


def of_run(run: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The differences of every two corpora in a run's finished probes and reconstruction."""
    for study, read in (("probes", _answers), ("reconstruction", _losses)):
        if not (run / "studies" / study / "summary.json").exists():
            continue
        sets = read(run / "studies" / study)
        names = list(next(iter(sets.values()), {}))
        if len(names) < 2:
            raise SystemExit(f"{run / 'studies' / study} has no cells of two corpora to exchange; run the study again.")
        for a, b in combinations(names, 2):
            for what, of in sets.items():
                yield f"{run.name}: {study} on {what}, {a} and {b}", [of[a] - of[b]]
            yield f"{run.name}: {study} on all, {a} and {b}", [of[a] - of[b] for of in sets.values()]


def _answers(study: Path) -> dict[str, dict[str, np.ndarray]]:
    """By task and corpus which examples each seed's probe answers rightly, float64 [seeds, examples]."""
    summary = json.loads((study / "summary.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, np.ndarray]] = {}
    for task in summary["unmarked"]:
        count, size = summary["tasks"][task]["test"], summary["tasks"][task]["train"]
        rows: dict[str, list[np.ndarray]] = {}
        for corpus, cell in _by_corpus(study, f"{task}-*.json"):
            entry = [
                one for one in cell["entries"] if one["input"] == "f" and one["probe"] == FULL and one["size"] == size
            ]
            rows.setdefault(corpus, []).append(unpack(entry[0]["right"], count).astype(np.float64))
        found[task] = {corpus: np.array(of) for corpus, of in rows.items()}
    return found


def _losses(study: Path) -> dict[str, dict[str, np.ndarray]]:
    """By part and corpus each context's share of `ce_recovered`, float64 [seeds, contexts]: their mean is the figure."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for corpus, cell in _by_corpus(study, "*.json"):
        for part, by_k in cell["contexts"].items():
            k = max(by_k, key=lambda name: float("inf") if name == "all" else int(name))
            losses = {name: np.array(values, np.float64) for name, values in by_k[k].items()}
            lost = (losses["ce_zero"] - losses["ce_clean"]).mean()
            share = (losses["ce_zero"] - losses["ce_sae"]) / lost
            found.setdefault(part, {}).setdefault(corpus, []).append(share)
    return {part: {corpus: np.array(rows) for corpus, rows in of.items()} for part, of in found.items()}


def _by_corpus(study: Path, pattern: str) -> Iterator[tuple[str, Any]]:
    """Corpus of the SAE and content of its cells, by seed: that whose rows of results.parquet are the cell's figures."""
    import polars as pl

    known: dict[tuple[str, int], dict[tuple[str, str | None, float | None], float]] = {}
    table = pl.read_parquet(study / "results.parquet").filter(pl.col("seed").is_not_null())
    for corpus, seed, *key, value in table.select("corpus", "seed", "metric", "other", "parameter", "value").rows():
        known.setdefault((corpus, seed), {})[tuple(key)] = value
    found: dict[tuple[str, int], Any] = {}
    for path in sorted((study / "cells").glob(pattern)):
        cell = read_cache(path)
        if cell is None:
            continue  # of an older version
        figures = _figures(cell, path.name.rpartition("-")[0])
        left = (sae for sae, rows in known.items() if sae not in found and figures.items() <= rows.items())
        if figures and (whose := next(left, None)) is not None:
            found[whose] = cell
    corpora = list(dict.fromkeys(corpus for corpus, _ in known))
    for corpus, seed in sorted(found, key=lambda sae: (corpora.index(sae[0]), sae[1])):
        yield corpus, found[corpus, seed]


def _figures(cell: Any, task: str) -> dict[tuple[str, str | None, float | None], float]:
    """Figures of a cell as results.parquet names them: what tells whose it is."""
    if "entries" in cell:
        found: dict[tuple[str, str | None, float | None], float] = {}
        for one in cell["entries"] if cell["entries"][0]["input"] != "h" else ():
            full = one["probe"] == FULL
            for metric in SCORES:
                label = f"{'' if full else 'k_sparse_'}{metric}:{task}:{one['input']}"
                found[label, None, float(one["size"] if full else one["k"])] = one[metric]
        return found
    return {
        ("mse", place, None if k == "all" else float(k)): of["mse"]
        for place, by_k in cell["figures"].items()
        for k, of in by_k.items()
    }


def report(units: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"\nrejected at {', '.join(f'{level:g}' for level in LEVELS)}; asked: at most {ASKED:g} at {ALPHA:g}")
    print(f"{'null':78} {'seeds alone':>22} {'with examples':>22}")
    for unit in units:
        shares = [
            " ".join(f"{unit[name][str(level)]:.4f}" for level in LEVELS) for name in ("seeds alone", "with examples")
        ]
        fine = unit["with examples"][str(ALPHA)] <= ASKED
        print(f"{unit['null']:78} {shares[0]:>22} {shares[1]:>22}{'' if fine else '  outside'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--exchanges", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS / "sampling_calibration.jsonl")
    args = parser.parse_args()
    print(machine())
    args.results.unlink(missing_ok=True)
    units = []
    for name, sets in [*simulated(), *(one for run in args.runs for one in of_run(run))]:
        unit = {"null": name, "exchanges": args.exchanges} | exchanged(sets, args.exchanges, args.seed)
        write_unit(args.results, unit)
        units.append(unit)
    report(units)


if __name__ == "__main__":
    main()
