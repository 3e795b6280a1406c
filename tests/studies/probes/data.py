"""Random SAEs, tasks as files, configurations."""

import copy
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.sae.topk import TopKSAE
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw

RNG = np.random.default_rng


def random_sae(d_in: int, d_sae: int, k: int, seed: int) -> TopKSAE:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)
    return TopKSAE(rows.T.contiguous(), torch.zeros(d_sae), rows, 0.1 * torch.randn(d_in, generator=generator), k)


DRAW = Draw(40, 20, 0, 4)


def no_text() -> EmbeddedText:
    """For tasks that are not made of embedded text."""
    return EmbeddedText(lambda: pytest.fail("the tokenizer is not needed"), None, 32)  # type: ignore[arg-type]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def summary_of_probes() -> Any:
    """What a study of two corpora and two tasks writes, one task at its ceiling."""

    def figure(value: float) -> dict[str, Any]:
        return {"value": value, "ci95": [value - 0.02, value + 0.02], "seeds": 3}

    def on_task(base: float) -> dict[str, Any]:
        points = [{"size": size, **figure(base - 0.1 * (size < 80))} for size in (20, 80)]
        inputs = {name: dict.fromkeys(("accuracy", "macro_f1"), points) for name in ("f", "h_hat")}
        return copy.deepcopy(inputs | {"k_sparse": [{"k": k, **figure(base - 0.05)} for k in (1, 4)]})

    def task(value: float) -> dict[str, Any]:
        baseline = {
            "accuracy": value, "accuracy_ci95": [value - 0.05, value + 0.05],
            "curve": [{"size": size, "accuracy": value, "macro_f1": value} for size in (20, 80)],
            "k_sparse": [{"k": k, "accuracy": value} for k in (1, 4)],
        }  # fmt: skip
        words = {"accuracy": 0.65, "accuracy_ci95": [0.6, 0.7], "macro_f1": 0.6, "c": 1.0, "words": 80}
        overlap = {name: {side: {"texts": 0, "grams": 3} for side in ("train", "test")} for name in ("own", "web")}
        return {
            "labels": ["a", "b"], "train": 80, "test": 40, "majority": 0.55, "words": words, "ceiling": value > 0.95,
            "overlap": overlap,
            "train_groups": None, "folds_of": "examples", "baseline": baseline,
        }  # fmt: skip

    of_tasks = {"easy": 0.94, "hard": 0.6}
    corpora = {
        name: {"accuracy": figure(0.6 + gain), "majority": 0.55, "accuracy:hard": figure(0.6 + gain)}
        for name, gain in (("own", 0.0), ("web", 0.02))
    }
    return {
        "study": "probes", "shape": "resid_pre.1-f64-k3", "own": "own", "corpora": corpora, "contrasts": [],
        "by_task": {
            name: {"own": on_task(base), "web": on_task(base + 0.02)} for name, base in of_tasks.items()
        },
        "tasks": {"easy": task(0.98), "hard": task(0.7)}, "unmarked": ["hard"], "controls": {},
    }  # fmt: skip
