"""Every probe of an SAE on a task, and its scores."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from studies.probes import score as probe_cells
from studies.probes.fit import fit_cross_validated
from studies.probes.score import plan_probes, probe_cell, score, stratified_order
from studies.probes.tasks.examples import Examples, TaskData
from studies.probes.tasks.task import Task
from tests.studies.probes.data import RNG


def task_data(y: np.ndarray, tests: int, groups: list[str] | None = None) -> TaskData:
    """A task of labels alone, the last `tests` held out."""
    train = len(y) - tests
    sides = [
        Examples([""] * len(part), part, groups[:train] if groups and part is y[:train] else None, [""] * len(part))
        for part in (y[:train], y[train:])
    ]
    if groups:
        sides[0] = replace(sides[0], groups=groups[:train])
    return TaskData(Task("made", "files", "made"), tuple(map(str, range(y.max() + 1))), *sides, {}, None)


def test_a_planted_label_is_recovered_and_a_random_one_is_not() -> None:
    rng = RNG(4)
    n, tests = 600, 300
    h = rng.standard_normal((n, 40)).astype(np.float32)
    planted, random = (h @ rng.standard_normal(40) > 0).astype(np.int64), rng.integers(0, 2, n)
    f = np.abs(rng.standard_normal((n, 90)) * (rng.random((n, 90)) < 0.2)).astype(np.float32)
    f[:, 17] = 2.0 * planted + 0.1 * rng.random(n)
    data = task_data(planted, tests)
    found = probe_cell({"h": h, "f": csr_matrix(f)}, data, plan_probes(data, 4, 2, (1, 5), 0), ("f",))
    full = {entry["input"]: entry for entry in found if entry["probe"] == "full" and entry["size"] == 300}
    assert full["h"]["accuracy"] > 0.95 and full["f"]["accuracy"] == 1
    sparse = {entry["k"]: entry for entry in found if entry["probe"] == "k-sparse"}
    assert sparse[1]["latents"] == [17] and sparse[1]["accuracy"] == 1 and sparse[5]["latents"][0] == 17
    small = next(entry for entry in found if entry["input"] == "h" and entry["size"] == 75)
    assert 0.6 < small["accuracy"] < full["h"]["accuracy"]
    chance = task_data(random, tests)
    for entry in probe_cell({"h": h, "f": f}, chance, plan_probes(chance, 4, 1, (1,), 0), ("f",)):
        assert entry["accuracy"] < chance.majority + 0.09
        assert entry["accuracy_ci95"][0] < 0.5 < entry["accuracy_ci95"][1] + 0.05


def test_nothing_is_learned_from_the_test_examples() -> None:
    rng = RNG(5)
    y = rng.integers(0, 3, 200)
    x = rng.standard_normal((200, 30)) + y[:, None] * rng.random(30)
    data = task_data(y, 80)
    plan = plan_probes(data, 4, 2, (1, 3), 0)
    learned = ("input", "probe", "size", "k", "c", "latents")
    seen = [{key: entry.get(key) for key in learned} for entry in probe_cell({"f": x}, data, plan, ("f",))]
    other = x.copy()
    other[120:] = 1e3 * rng.standard_normal((80, 30))
    changed = replace(data, test=replace(data.test, y=rng.permutation(data.test.y)))
    again = probe_cell({"f": other}, changed, plan_probes(changed, 4, 2, (1, 3), 0), ("f",))
    assert [{key: entry.get(key) for key in learned} for entry in again] == seen


def test_every_input_is_probed_on_the_same_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    y = RNG(6).integers(0, 2, 120)
    groups = [f"g{place // 3}" for place in range(120)]
    data = task_data(y, 40, groups)
    plan = plan_probes(data, 4, 2, (2,), 0)
    real, given = fit_cross_validated, []

    def spied(x: Any, y: np.ndarray, folds: np.ndarray) -> Any:
        given.append((len(y), folds.tolist(), y.tolist()))
        return real(x, y, folds)

    monkeypatch.setattr(probe_cells, "fit_cross_validated", spied)
    features = {name: RNG(place).random((120, 20 + place)) for place, name in enumerate(("h", "f", "h_hat"))}
    probe_cell(features, data, plan, ("h", "f"))
    assert len(given) == 3 * 2 + 2 and {size for size, *_ in given} == {20, 80}
    for size in (20, 80):
        assert len({json.dumps(rest) for found, *rest in given if found == size}) == 1
    assert plan.folds_of == "groups" and plan_probes(task_data(y, 40), 4, 1, (), 0).folds_of == "examples"
    for group in set(groups[:80]):
        assert len(set(plan.folds[[of == group for of in groups[:80]]])) == 1


def test_sizes_of_the_curve_are_nested_and_hold_every_class() -> None:
    y = np.repeat([0, 0, 0, 0, 1], 40)
    data = task_data(np.concatenate([y, y]), len(y))
    plan = plan_probes(data, 4, 5, (5, 1, 5), 0)
    assert plan.sizes == (12, 50, 200) and plan.ks == (1, 5)
    order = stratified_order(y, 0)
    for size in plan.sizes:
        assert np.bincount(y[order[:size]])[1] == pytest.approx(size / 5, abs=1.5)


def test_a_class_of_one_group_gets_folds_of_examples() -> None:
    y = np.array([0] * 30 + [1] * 8)
    data = task_data(np.concatenate([y, y]), len(y), ["a"] * 15 + ["b"] * 15 + ["c"] * 8 + ["d"] * 38)
    plan = plan_probes(data, 4, 1, (), 0)
    assert len(set(plan.folds[30:])) > 1 and plan.folds_of == "examples"


def test_scores_are_scikit_learns() -> None:
    from sklearn.metrics import accuracy_score, f1_score

    rng = RNG(7)
    y = rng.integers(0, 3, 90)
    said = np.stack([np.where(rng.random(90) < 0.7, y, rng.integers(0, 3, 90)), np.zeros(90, np.int64)], axis=1)
    for place, entry in enumerate(score(y, said, 4, 0)):
        assert entry["accuracy"] == pytest.approx(accuracy_score(y, said[:, place]))
        expected = f1_score(y, said[:, place], labels=range(4), average="macro", zero_division=0)
        assert entry["macro_f1"] == pytest.approx(expected)
        for metric in ("accuracy", "macro_f1"):
            low, high = entry[f"{metric}_ci95"]
            assert low < entry[metric] < high
    spread = np.sqrt(0.8 * 0.2 / 90)
    low, high = score(y, said[:, :1], 3, 1)[0]["accuracy_ci95"]
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)
