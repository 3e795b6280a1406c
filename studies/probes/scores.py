"""The figures of probes per SAE, corpus and task, with what other test examples would have made of the accuracies.

Which examples a probe answers rightly is kept, so that every SAE is scored on the same resample of them; tasks that share
their test texts share the resamples too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from faithful.store.saes import TrainedSae
from studies.probes.config import OURS
from studies.probes.score import FULL, SPARSE, Plan, has_levels, unpack, unpack_weights
from studies.probes.silence import SILENCE, SILENCES
from studies.probes.summary import Entry, OnTask, Score, Silence, TaskFound, WordsFound
from studies.probes.tasks.examples import TaskData
from studies.probes.tasks.levels import FINE
from studies.statistics.estimates import Figures, estimate
from studies.statistics.latents import LATENTS, write_latents
from studies.statistics.records import Figure
from studies.statistics.resampled import Resampled, resample_counts
from studies.statistics.stable import share_of_stable

SCORES: tuple[Score, ...] = ("accuracy", "macro_f1")
START = "start"
"""What an input is called that is the codes of an SAE before its first step."""


class ProbeScores:
    """Scores of the SAEs of one shape.

    Args:
        data: the tasks by name.
        plans: how each was probed.
        cells: entries of `probe_cell` by (task, place of the SAE).
        unmarked: tasks that the means are over.
        seeds: corpus and seed of the SAE at each place.
        names: the corpora, in order.
        seed: of the resamples.
    """

    def __init__(
        self,
        data: Mapping[str, TaskData],
        plans: Mapping[str, Plan],
        cells: Mapping[tuple[str, int | None], list[Entry]],
        unmarked: Sequence[str],
        seeds: Mapping[int, tuple[str, int]],
        names: Sequence[str],
        seed: int,
    ) -> None:
        self.data, self.cells, self.unmarked, self.seeds, self.names = data, cells, unmarked, seeds, names
        self.full = {name: plan.sizes[-1] for name, plan in plans.items()}
        self.sizes = {name: plan.sizes for name, plan in plans.items()}
        self.others = [one for one in next(iter(plans.values())).methods if one != OURS]

        @cache
        def counts(name: str) -> np.ndarray:
            texts = hashlib.sha256("\0".join(data[name].test.texts).encode("utf-8", "surrogatepass")).hexdigest()
            return resample_counts(len(data[name].test.y), seed, texts)

        self._counts = counts

    def figures(self) -> dict[str, dict[str, Figures]]:
        """By metric and corpus: means over the unmarked tasks, and the accuracy on each task."""
        found: dict[str, dict[str, Figures]] = {}
        for input_, suffix in (("f", ""), ("h_hat", "_h_hat")):
            for metric in SCORES:
                found[metric + suffix] = {
                    corpus: self._mean(corpus, input_, FULL, metric, None) for corpus in self.names
                }
        for corpus in self.names:
            for k in self._ks(corpus):
                found.setdefault(f"accuracy_k{k}", {})[corpus] = self._mean(corpus, "f", SPARSE, "accuracy", k)
            for method in self.others:
                for k in self._ks(corpus):
                    found.setdefault(f"accuracy_{name_of(method)}_k{k}", {})[corpus] = self._mean(
                        corpus, "f", method, "accuracy", k
                    )
        for data, figure in product(filter(has_levels, self.data.values()), SILENCES):
            found[f"coarse_{figure}:{data.task.name.removesuffix(FINE)}"] = {
                corpus: self._of(corpus, data.task.name, "f", SILENCE, figure) for corpus in self.names
            }
        for name in self.data:
            found[f"accuracy:{name}"] = {
                corpus: self._of(corpus, name, "f", FULL, "accuracy", size=self.full[name]) for corpus in self.names
            }
        return found

    def by_task(self, name: str) -> dict[str, OnTask]:
        """Estimates of each corpus on one task: both inputs over training sizes, and k-sparse probes over k."""
        found = {}
        for corpus in self.names:

            def of(input_: str, probe: str, metric: Score, corpus: str = corpus, **at: int) -> Figure:
                return estimate(self._of(corpus, name, input_, probe, metric, **at)).summary()

            found[corpus] = {
                input_: {
                    metric: [{"size": size, **of(input_, FULL, metric, size=size)} for size in self.sizes[name]]
                    for metric in SCORES
                }
                for input_ in ("f", "h_hat")
            } | {
                key: [{"k": k, **of("f", probe, "accuracy", k=k)} for k in self._ks(corpus)]
                for key, probe in {"k_sparse": SPARSE, **{name_of(one): one for one in self.others}}.items()
            }
        return found

    def _mean(self, corpus: str, input_: str, probe: str, metric: Score, k: int | None) -> Figures:
        """Mean over the unmarked tasks."""
        several = [
            self._of(corpus, name, input_, probe, metric, size=self.full[name] if k is None else None, k=k)
            for name in self.unmarked
        ]
        if not several:
            return {seed: None for own, seed in self.seeds.values() if own == corpus}
        resampled = [one for one in several if isinstance(one, Resampled)]
        if len(resampled) == len(several):
            return Resampled.mean(resampled)
        return {seed: mean_of([one[seed] for one in several]) for seed in several[0]}

    def _of(
        self, corpus: str, name: str, input_: str, probe: str, metric: Literal[Score, Silence], **at: int | None
    ) -> dict[int, float | None]:
        """A score by seed; an accuracy knows its resamples."""
        found = {
            seed: find_entry(self.cells[name, place], input_, probe, **at)
            for place, (own, seed) in self.seeds.items()
            if own == corpus
        }
        scores: dict[int, float | None] = {seed: entry[metric] if entry else None for seed, entry in found.items()}
        entries = {seed: entry for seed, entry in found.items() if entry and "right" in entry}
        if metric != "accuracy" or len(entries) < len(found):
            return scores
        count = len(self.data[name].test.y)
        draws = {seed: self._counts(name) @ unpack(one["right"], count) / count for seed, one in entries.items()}
        return Resampled(scores, draws, count)

    def _ks(self, corpus: str) -> list[int]:
        """Sizes of the k-sparse probes, which a narrow SAE may not all have."""
        place = next(place for place, (own, _) in self.seeds.items() if own == corpus)
        return ks_of(self.cells[next(iter(self.data)), place], "f")


def stable_weight(entries: Sequence[Entry], size: int, stable: np.ndarray) -> float | None:
    """The share of the weight of the full probe on so many training codes that latents [d_sae] have that are stable."""
    found = find_entry(entries, "f", FULL, size=size)
    return share_of_stable(unpack_weights(found["weights"]), stable) if found and "weights" in found else None


def write_weights(
    folder: Path,
    cells: Mapping[tuple[str, int | None], list[Entry]],
    plans: Mapping[str, Plan],
    saes: Sequence[TrainedSae],
) -> None:
    """Leave by task what share of the full probe's weight each latent of an SAE has.

    Args:
        folder: of the study.
        cells: entries of `probe_cell` by (task, place of the SAE).
        plans: how each task was probed.
        saes: at their places.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for (name, plan), (place, sae) in product(plans.items(), enumerate(saes)):
        entry = entry_of(cells[name, place], "f", FULL, size=plan.sizes[-1])
        weights = unpack_weights(entry["weights"])
        found.setdefault(sae.sha256, {})[name] = weights / (weights.sum() or 1.0)
    write_latents(folder / LATENTS, found)


def stable_weights(
    cells: Mapping[tuple[str, int | None], list[Entry]],
    tasks: Mapping[str, int],
    stable: Mapping[int, np.ndarray],
    seeds: Mapping[int, tuple[str, int]],
) -> dict[str, dict[str, dict[int, float | None]]]:
    """`stable_weight`, mean over tasks, and what as many latents drawn at random would have, by corpus, metric and seed.

    Args:
        cells: entries of `probe_cell` by (task, place of the SAE).
        tasks: training examples of the full probe by task.
        stable: of SAEs by their places; the others have no figure.
        seeds: corpus and seed of the SAE at each place.
    """
    found: dict[str, dict[str, dict[int, float | None]]] = {}
    for place in sorted(seeds.keys() & stable.keys()):
        of, (corpus, seed) = stable[place], seeds[place]
        both = found.setdefault(corpus, {"stable_weight": {}, "stable_weight_chance": {}})
        both["stable_weight"][seed] = mean_of(
            [stable_weight(cells[name, place], size, of) for name, size in tasks.items()]
        )
        both["stable_weight_chance"][seed] = float(of.mean())
    return found


def task_found(
    data: TaskData,
    plan: Plan,
    cells: Mapping[tuple[str, int | None], list[Entry]],
    words: WordsFound,
    overlap: dict[str, dict[str, dict[str, int]]],
    is_marked: bool,
) -> TaskFound:
    """What is known of a task, its floors and its baseline.

    Args:
        data: the task.
        plan: how it was probed.
        cells: entries of `probe_cell` by (task, place of the SAE).
        words: what words alone tell.
        overlap: by corpus and side.
        is_marked: whether it is at its ceiling.
    """
    name, task = data.task.name, data.task
    of_h = cells[name, None]
    baseline = entry_of(of_h, "h", FULL, size=plan.sizes[-1])
    lengths = [len(text) for text in data.texts]
    return {
        "about": task.about,
        "place": Path(task.place).name if task.kind == "files" else task.place,
        "kind": task.kind,
        "revision": data.revision,
        "remarks": task.remarks,
        "labels": list(data.labels),
        "train": len(data.train.y),
        "test": len(data.test.y),
        "train_groups": None if data.train.groups is None else len(set(data.train.groups)),
        "test_groups": None if data.test.groups is None else len(set(data.test.groups)),
        "folds_of": plan.folds_of,
        "mean_characters": float(np.mean(lengths)),
        "left_out": data.left_out,
        "majority": data.majority,
        "words": words,
        "ceiling": is_marked,
        "baseline": {
            "accuracy": baseline["accuracy"],
            "accuracy_ci95": baseline["accuracy_ci95"],
            "macro_f1": baseline["macro_f1"],
            "macro_f1_ci95": baseline["macro_f1_ci95"],
            "c": baseline["c"],
            "curve": [
                {"size": one["size"], "accuracy": one["accuracy"], "macro_f1": one["macro_f1"]}
                for one in (entry_of(of_h, "h", FULL, size=size) for size in plan.sizes)
            ],
            "k_sparse": [{"k": k, "accuracy": entry_of(of_h, "h", SPARSE, k=k)["accuracy"]} for k in ks_of(of_h, "h")],
        },
        "c_at_edge": float(
            np.mean(
                [
                    one["c_at_edge"]
                    for (of, _), cell in cells.items()
                    if of == name
                    for one in cell
                    if "c_at_edge" in one and one["input"] != START
                ]
            )
        ),
        "overlap": overlap,
    }


def name_of(method: str) -> str:
    """A method in the names of figures."""
    return method.replace("-", "_")


def find_entry(
    entries: Sequence[Entry], input_: str, probe: str, size: int | None = None, k: int | None = None
) -> Entry | None:
    """The entry of an input's probe at a size or a k; None where a task leaves no such probe."""
    for one in entries:
        is_there = (size is None or one["size"] == size) and (k is None or one["k"] == k)
        if is_there and (one["input"], one["probe"]) == (input_, probe):
            return one
    return None


def entry_of(entries: Sequence[Entry], input_: str, probe: str, **at: int) -> Entry:
    """The same of a probe that every task leaves."""
    found = find_entry(entries, input_, probe, **at)
    assert found is not None
    return found


def ks_of(entries: Sequence[Entry], input_: str) -> list[int]:
    """Sizes of the k-sparse probes among entries."""
    of = [one["k"] for one in entries if one["input"] == input_ and one["probe"] == SPARSE]
    return [k for k in of if k is not None]


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean; None of nothing, or where one is not defined."""
    given = [value for value in values if value is not None]
    return float(np.mean(given)) if given and len(given) == len(values) else None
