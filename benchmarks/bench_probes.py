"""Probe fit time beside scikit-learn's LogisticRegressionCV: `python -m benchmarks.bench_probes [--quick]`.

Features look like pooled codes: few latents fire often, most seldom, and a few dozen carry the label. Both get the same
folds and the same list of C, and choose by held-out cross-entropy; scikit-learn gets features that are standardised already,
ours standardises in its time. scikit-learn is timed on the whole list (as one would call it) and on those C that ours tried
before the held-out cross-entropy rose. Printed: CPU seconds of one thread, the C chosen, the largest difference between the
held-out cross-entropies of both, and how often their predictions of 1,000 further examples agree. One line per case in
`benchmarks/results/probes.jsonl`, from where a second call takes it; `--quick` leaves out the two that take longest.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from benchmarks.shared import RESULTS, machine, read_units, write_unit

CASES = (
    (256, 256, 2), (256, 512, 2), (256, 512, 6), (1000, 2304, 2), (1000, 12_288, 2), (1000, 12_288, 4), (2000, 18_432, 2),
)  # fmt: skip
QUICK = CASES[:5]
FOLDS, TESTS = 4, 1000


def features(n: int, d: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pooled codes float32 [n, d] ≥ 0, and labels int64 [n] that some of them make likely."""
    rng = np.random.default_rng(seed)
    density = np.clip(3.0 / np.arange(1, d + 1) ** 0.7, 0.002, 0.9)
    x = (rng.gamma(1.5, 1.0, (n, d)) * (rng.random((n, d)) < density)).astype(np.float32)
    carriers = rng.choice(d // 4, 40, replace=False)
    logits = (x[:, carriers] - x[:, carriers].mean(0)) @ rng.standard_normal((40, classes))
    logits *= 2.0 / logits.std()
    return x, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its CPU seconds."""
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def compare(n: int, d: int, classes: int) -> dict[str, Any]:
    """Both on one problem."""
    from sklearn.linear_model import LogisticRegressionCV

    from studies.probes.fit import CS, fit_cross_validated, spread_folds

    x, y = features(n + TESTS, d, classes)
    train, test, labels = x[:n], x[n:], y[:n]
    folds = spread_folds(labels, None, FOLDS, 0)
    ours, seconds = timed(lambda: fit_cross_validated(train, labels, folds))
    spread = train.std(0, dtype=np.float64)
    varies = spread > 0
    scaled, further = (
        (part[:, varies] - train[:, varies].mean(0, dtype=np.float64)) / spread[varies] / varies.sum() ** 0.5
        for part in (train, test)
    )
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(FOLDS)]
    entry: dict[str, Any] = {"n": n, "d": d, "classes": classes, "ours": {"seconds": seconds, "c": ours.c}}
    tried = len(ours.losses)
    for name, cs in (("whole list", CS), ("tried C", CS[:tried])):
        model = LogisticRegressionCV(
            Cs=list(cs), cv=splits, scoring="neg_log_loss", max_iter=2000, use_legacy_attributes=False, l1_ratios=(0.0,)
        )
        theirs, taken = timed(lambda model=model: model.fit(scaled, labels))
        losses = -np.asarray(theirs.scores_).reshape(FOLDS, -1)[:, :tried].mean(0)
        entry[name] = {
            "seconds": taken,
            "c": float(theirs.C_),
            "largest_loss_difference": float(np.abs(losses - ours.losses).max()),
            "same_predictions": float(np.mean(theirs.predict(further) == ours.predict(test))),
            "accuracy": float(np.mean(theirs.predict(further) == y[n:])),
        }
    return entry | {"tried": tried, "of": len(CS), "accuracy": float(np.mean(ours.predict(test) == y[n:]))}


def line(entry: dict[str, Any]) -> str:
    """One row of the table."""
    whole, same = entry["whole list"], entry["tried C"]
    ours, size = entry["ours"]["seconds"], f"{entry['n']:>5} × {entry['d']:>6}, {entry['classes']} classes"
    return (
        f"{size}: ours {ours:8.3f} s ({entry['tried']} of {entry['of']} C), scikit-learn {whole['seconds']:8.2f} s"
        f" ({whole['seconds'] / ours:.0f}×), those C {same['seconds']:8.2f} s ({same['seconds'] / ours:.0f}×);"
        f" C {entry['ours']['c']:g} and {whole['c']:g}, losses within {whole['largest_loss_difference']:.1e}, same"
        f" predictions {whole['same_predictions']:.3f}, accuracy {entry['accuracy']:.3f} and {whole['accuracy']:.3f}"
    )


def main() -> None:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the widest")
    parser.add_argument("--results", type=Path, default=RESULTS / "probes.jsonl")
    args = parser.parse_args()
    print(machine())
    compare(64, 200, 2)
    known = {(unit["n"], unit["d"], unit["classes"]): unit for unit in read_units(args.results)}
    for case in QUICK if args.quick else CASES:
        entry = known.get(case)
        if entry is None:
            entry = compare(*case)
            write_unit(args.results, entry)
        print(line(entry), flush=True)


if __name__ == "__main__":
    main()
