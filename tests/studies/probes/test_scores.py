"""Scores of probes per SAE, corpus and task, and what other test examples would have made of them."""

from typing import Any

import numpy as np
import pytest

from studies.probes.score import FULL, SPARSE, Plan, pack, pack_weights
from studies.probes.scores import ProbeScores, entry_of, ks_of, mean_of, stable_weight
from studies.probes.tasks.examples import Examples, TaskData
from studies.probes.tasks.task import Task
from studies.statistics.resampled import Resampled
from tests.studies.probes.data import RNG

TESTS = 40


def task(name: str, texts: str) -> TaskData:
    side = Examples([f"{texts} {at}" for at in range(TESTS)], np.arange(TESTS) % 2, None, [""] * TESTS)
    return TaskData(Task(name, "files", name), ("a", "b"), side, side, {}, None)


def entries(seed: int) -> list[dict[str, Any]]:
    """Full probes of two sizes on codes and reconstructions, and a sparse one."""
    found = []
    for input_, probe, size, k in (
        ("f", FULL, 20, None), ("f", FULL, 80, None), ("h_hat", FULL, 20, None), ("h_hat", FULL, 80, None),
        ("f", SPARSE, 80, 4),
    ):  # fmt: skip
        right = RNG([seed, size, len(found)]).random(TESTS) < 0.7
        shown = {"input": input_, "probe": probe, "size": size, "k": k, "right": pack(right)}
        found.append(shown | {"accuracy": float(right.mean()), "macro_f1": float(right.mean()) / 2})
    return found


def scores(unmarked: tuple[str, ...] = ("one", "two")) -> ProbeScores:
    data = {"one": task("one", "the same"), "two": task("two", "the same"), "three": task("three", "others")}
    plan = Plan(np.arange(80), np.arange(80) % 4, "examples", (20, 80), (4,), 0)
    seeds = {0: ("own", 0), 1: ("own", 1), 2: ("web", 0)}
    cells: Any = {(name, place): entries(10 * at + place) for at, name in enumerate(data) for place in seeds}
    return ProbeScores(data, dict.fromkeys(data, plan), cells, unmarked, seeds, ["own", "web"], 3)


def test_figures_are_means_over_the_unmarked_tasks_by_seed() -> None:
    found = scores()
    figures = found.figures()
    assert set(figures) == {
        "accuracy", "macro_f1", "accuracy_h_hat", "macro_f1_h_hat", "accuracy_k4",
        "accuracy:one", "accuracy:two", "accuracy:three",
    }  # fmt: skip
    assert set(figures["accuracy"]["own"]) == {0, 1} and set(figures["accuracy"]["web"]) == {0}
    for seed in (0, 1):
        of_tasks = [entry_of(entries(10 * at + seed), "f", FULL, size=80)["accuracy"] for at in (0, 1)]
        assert figures["accuracy"]["own"][seed] == pytest.approx(np.mean(of_tasks))
        assert figures["macro_f1"]["own"][seed] == pytest.approx(np.mean(of_tasks) / 2)
    sparse = [entry_of(entries(10 * at), "f", SPARSE, k=4)["accuracy"] for at in (0, 1)]
    assert figures["accuracy_k4"]["own"][0] == pytest.approx(np.mean(sparse))


def test_stable_latents_have_their_share_of_the_weight_of_the_probe_on_all_codes() -> None:
    found = [
        {"input": "f", "probe": FULL, "size": 20},
        {"input": "f", "probe": FULL, "size": 80, "weights": pack_weights(np.array([3.0, 1.0, 0.0, 4.0]))},
    ]
    assert stable_weight(found, 80, np.array([True, False, True, False])) == 3 / 8
    assert stable_weight(found, 80, np.ones(4, bool)) == 1 and stable_weight(found, 80, np.zeros(4, bool)) == 0
    assert stable_weight(found, 20, np.ones(4, bool)) is None
    found[1]["weights"] = pack_weights(np.zeros(4))
    assert stable_weight(found, 80, np.ones(4, bool)) is None, "no latent varies"


def test_tasks_of_the_same_texts_share_their_resamples_and_others_do_not() -> None:
    found = scores()
    assert (found._counts("one") == found._counts("two")).all()
    assert (found._counts("one") != found._counts("three")).any()
    accuracy, f1 = found.figures()["accuracy"]["own"], found.figures()["macro_f1"]["own"]
    assert isinstance(accuracy, Resampled) and not isinstance(f1, Resampled), (
        "only what is kept bit by bit can be drawn"
    )


def test_without_an_unmarked_task_every_seed_has_no_mean() -> None:
    figures = scores(unmarked=()).figures()
    assert figures["accuracy"]["own"] == {0: None, 1: None} and figures["accuracy"]["web"] == {0: None}
    assert figures["accuracy:one"]["own"][0] is not None


def test_a_task_lists_both_inputs_over_sizes_and_sparse_probes_over_k() -> None:
    found = scores().by_task("three")["own"]
    assert [point["size"] for point in found["f"]["accuracy"]] == [20, 80]
    assert [point["size"] for point in found["h_hat"]["macro_f1"]] == [20, 80]
    assert [point["k"] for point in found["k_sparse"]] == [4]
    wanted = np.mean([entry_of(entries(20 + seed), "h_hat", FULL, size=20)["accuracy"] for seed in (0, 1)])
    assert found["h_hat"]["accuracy"][0]["value"] == pytest.approx(wanted)


def test_small_helpers() -> None:
    assert ks_of(entries(0), "f") == [4] and ks_of(entries(0), "h_hat") == []
    assert mean_of([]) is None and mean_of([1.0, 2.0]) == 1.5
