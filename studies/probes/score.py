"""What the features of one SAE (or the activations alone) tell about one task: every probe, scored on the test examples."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from studies.probes.config import OURS, WITH_BOS
from studies.probes.fit import by_mean_difference, fit_cross_validated, spread_folds
from studies.probes.saebench import saebench_accuracies
from studies.probes.silence import silence_entry
from studies.probes.summary import Entry
from studies.probes.tasks.examples import TaskData
from studies.probes.tasks.levels import FINE
from studies.statistics.estimates import bootstrap_ci95

FULL, SPARSE = "full", "k-sparse"
SHRINK = 4
DRAWS = 1000
SMALL = 2**19
BOS = "+bos"
"""Ends the name of an input whose mean BOS is part of."""


@dataclass(frozen=True)
class Plan:
    """How the probes of a task are trained, the same for every input.

    Attributes:
        order: int64 [n], training examples so that any first ones hold like shares of every class.
        folds: int64 [n], fold of each training example.
        folds_of: what no two folds share: `groups`, else `examples`.
        sizes: training examples of each point of the learning curve, rising; the last is all.
        ks: features of the k-sparse probes.
        seed: of the bootstrap.
        methods: how k-sparse probes are made beside ours.
    """

    order: np.ndarray
    folds: np.ndarray
    folds_of: str
    sizes: tuple[int, ...]
    ks: tuple[int, ...]
    seed: int
    methods: tuple[str, ...] = (OURS,)


def plan_probes(
    data: TaskData, folds: int, points: int, ks: Sequence[int], seed: int, methods: tuple[str, ...] = (OURS,)
) -> Plan:
    """Folds, order and sizes for a task.

    Each point of the curve has a quarter of the next one's examples; points too small to hold every class in two folds are
    left out. Where groups would leave a class in a single fold, folds are made of examples instead: see `Plan.folds_of`.

    Args:
        data: the task.
        folds: of the cross-validation.
        points: of the learning curve, at most.
        ks: wanted.
        seed: of order and folds.
        methods: how k-sparse probes are made.
    """
    y = data.train.y
    groups = data.train.groups
    found = spread_folds(y, groups, folds, seed)
    if groups is not None and not _in_two_folds(y, found):
        groups, found = None, spread_folds(y, None, folds, seed)
    order = stratified_order(y, seed)
    sizes = sorted({len(y) // SHRINK**point for point in range(points)})
    kept = tuple(size for size in sizes if size == len(y) or _in_two_folds(y[order[:size]], found[order[:size]], y))
    return Plan(order, found, "examples" if groups is None else "groups", kept, tuple(sorted(set(ks))), seed, methods)


def stratified_order(y: np.ndarray, seed: int) -> np.ndarray:
    """An order of examples whose every beginning holds about the same share of each class, int64 [n]."""
    generator = np.random.default_rng([seed, 1])
    rank = np.empty(len(y))
    for label in np.unique(y):
        members = generator.permutation(np.flatnonzero(y == label))
        rank[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(rank, kind="stable")


def probe_cell(inputs: Mapping[str, Any], data: TaskData, plan: Plan, k_sparse: Sequence[str]) -> list[Entry]:
    """Train and score every probe of one SAE on one task.

    Args:
        inputs: features of the training and then of the test examples, [n + tests, d], by name; of `NAME+bos`, whose mean
            BOS is part of, only SAEBench's probes are made.
        data: the task.
        plan: how.
        k_sparse: inputs that k-sparse probes are trained on too, from all training examples.

    Returns:
        an entry per probe: `input`, `probe` (`full` or `k-sparse`), `size` (training examples), `k` (None for the full
        probe), `accuracy` and `macro_f1` with intervals `accuracy_ci95` and `macro_f1_ci95` (bootstrap over the test
        examples), `right` (which of them it answers rightly, as `pack` has it), `c`, `c_at_edge` (whether the largest or
        smallest C was best), `latents` (those of a k-sparse probe), `weights` (of the full probe on all training codes, see
        `Probe`, as `pack_weights` has them).
    """
    with _few_threads(max(x.shape[0] * x.shape[1] for x in inputs.values())):
        return _probe_all(inputs, data, plan, k_sparse)


def score(y: np.ndarray, predicted: np.ndarray, classes: int, seed: int) -> list[Entry]:
    """Scores of several probes on the same examples.

    Macro-F1 is the mean over classes of 2·TP / (2·TP + FP + FN), 0 for a class that neither occurs nor is predicted.

    Args:
        y: int64 [n].
        predicted: int64 [n, probes].
        classes: how many there are.
        seed: of the bootstrap over examples, 1,000 draws.

    Returns:
        of each probe `accuracy`, `accuracy_ci95`, `macro_f1`, `macro_f1_ci95`.
    """
    right = (predicted == y[:, None]).astype(np.float64)
    label = np.arange(classes)
    is_class = (y[:, None] == label).astype(np.float64)
    said = (predicted[:, :, None] == label).astype(np.float64)
    hits = said * is_class[:, None, :]
    n, probes = predicted.shape
    columns = torch.from_numpy(np.concatenate([right, said.reshape(n, -1), hits.reshape(n, -1), is_class], axis=1))

    def figures(weights: np.ndarray) -> np.ndarray:
        sums = (torch.from_numpy(weights).double() @ columns).numpy()
        answers, found = (sums[probes + at * probes * classes :][: probes * classes] for at in (0, 1))
        both = answers.reshape(probes, classes) + sums[-classes:]
        f1 = 2 * found.reshape(probes, classes) / np.where(both > 0, both, 1)
        return np.stack([sums[:probes] / weights.sum(), f1.mean(1)])

    values = figures(np.ones(n))
    ends = bootstrap_ci95(n, figures, seed, DRAWS)
    return [
        {
            "accuracy": float(values[0, at]),
            "accuracy_ci95": ends[:, 0, at].tolist(),
            "macro_f1": float(values[1, at]),
            "macro_f1_ci95": ends[:, 1, at].tolist(),
        }
        for at in range(probes)
    ]


def pack(right: np.ndarray) -> str:
    """Bool [n] as text."""
    return b64encode(np.packbits(right).tobytes()).decode()


def unpack(text: str, count: int) -> np.ndarray:
    """What `pack` made text of, bool [count]."""
    return np.unpackbits(np.frombuffer(b64decode(text), np.uint8), count=count).astype(bool)


def pack_weights(weights: np.ndarray) -> str:
    """Float64 [n] as text, rounded to float32."""
    return b64encode(weights.astype("<f4").tobytes()).decode()


def unpack_weights(text: str) -> np.ndarray:
    """What `pack_weights` made text of, float64 [n]."""
    return np.frombuffer(b64decode(text), "<f4").astype(np.float64)


def _as_saebench(inputs: Mapping[str, Any], data: TaskData, plan: Plan, k_sparse: Sequence[str]) -> list[Entry]:
    """Sparse probes made otherwise than ours: entries without intervals, and without `right`."""
    entries: list[Entry] = []
    for method in plan.methods:
        for name in k_sparse:
            x = None if method == OURS else inputs.get(name + BOS if method == WITH_BOS else name)
            if x is None:
                continue
            train, test = _sides(x, data)
            size = len(data.labels) * int(np.bincount(data.train.y).min())
            for k, accuracy in saebench_accuracies(train, test, data, plan.ks, plan.seed).items():
                entries.append({"input": name, "probe": method, "size": size, "k": k, "accuracy": accuracy})
    return entries


def _probe_all(inputs: Mapping[str, Any], data: TaskData, plan: Plan, k_sparse: Sequence[str]) -> list[Entry]:
    entries: list[Entry] = []
    predicted = []
    for name, x in inputs.items():
        if name.endswith(BOS):
            continue
        train, test = _sides(x, data)
        for size in plan.sizes:
            entry, answer, weights = _probe(train, test, data, plan, size, None)
            if name == "f" and size == len(data.train.y):
                entry |= {"weights": pack_weights(weights)}
            entries.append({"input": name, "probe": FULL, "size": size, "k": None, **entry})
            predicted.append(answer)
        if name in k_sparse and plan.ks:
            ranked = by_mean_difference(train, data.train.y)
            for k in (k for k in plan.ks if k <= train.shape[1]):
                entry, answer, _ = _probe(train, test, data, plan, len(data.train.y), ranked[:k])
                at: Entry = {"input": name, "probe": SPARSE, "size": len(data.train.y), "k": k}
                entries.append({**at, **entry, "latents": ranked[:k].tolist()})
                predicted.append(answer)
    scores = score(data.test.y, np.array(predicted).T, len(data.labels), plan.seed)
    right = [pack(one == data.test.y) for one in predicted]
    ours = [entry | figures | {"right": bits} for entry, figures, bits in zip(entries, scores, right, strict=True)]
    levels = [silence_entry(*_sides(inputs["f"], data), data, plan.seed)] if "f" in inputs and has_levels(data) else []
    return ours + _as_saebench(inputs, data, plan, k_sparse) + levels


def has_levels(data: TaskData) -> bool:
    """Whether a task is the fine level of two."""
    return data.task.coarse is not None and data.task.name.endswith(FINE)


def _sides(x: Any, data: TaskData) -> tuple[Any, Any]:
    """The features of the training and of the test examples."""
    return x[: len(data.train.y)], x[len(data.train.y) :]


def _probe(
    train: Any, test: Any, data: TaskData, plan: Plan, size: int, latents: np.ndarray | None
) -> tuple[Entry, np.ndarray, np.ndarray]:
    """The entry of a probe, its answers on the test examples, and its weights."""
    chosen = np.sort(plan.order[:size])
    x, y = train[chosen], data.train.y[chosen]
    if latents is not None:
        x, test = x[:, latents], test[:, latents]
    probe = fit_cross_validated(x, y, plan.folds[chosen])
    return {"c": probe.c, "c_at_edge": probe.c_at_edge}, probe.predict(test), probe.weights


def _in_two_folds(y: np.ndarray, folds: np.ndarray, every: np.ndarray | None = None) -> bool:
    """Whether every class is in at least two folds, so that none is missing where another is held out."""
    classes = np.unique(y if every is None else every)
    return all(len(np.unique(folds[y == label])) > 1 for label in classes)


@contextmanager
def _few_threads(size: int) -> Iterator[None]:
    """Let torch work in one thread on matrices of few numbers, where threads cost more than they bring."""
    before = torch.get_num_threads()
    if size < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
