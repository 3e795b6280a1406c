"""The figures of probes per SAE, corpus and task, with what other test examples would have made of the accuracies.

Which examples a probe answers rightly is kept, so that every SAE is scored on the same resample of them; tasks that share
their test texts share the resamples too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from studies.probes.score import FULL, SPARSE, Plan, unpack
from studies.probes.summary import Entry, OnTask
from studies.probes.tasks.examples import TaskData
from studies.statistics.estimates import Figures, estimate
from studies.statistics.records import Figure
from studies.statistics.resampled import Resampled, resample_counts

SCORES = ("accuracy", "macro_f1")


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
        for name in self.data:
            found[f"accuracy:{name}"] = {
                corpus: self._of(corpus, name, "f", FULL, "accuracy", size=self.full[name]) for corpus in self.names
            }
        return found

    def by_task(self, name: str) -> dict[str, OnTask]:
        """Estimates of each corpus on one task: both inputs over training sizes, and k-sparse probes over k."""
        found = {}
        for corpus in self.names:

            def of(input_: str, probe: str, metric: str, corpus: str = corpus, **at: Any) -> Figure:
                return estimate(self._of(corpus, name, input_, probe, metric, **at)).summary()

            found[corpus] = {
                input_: {
                    metric: [{"size": size, **of(input_, FULL, metric, size=size)} for size in self.sizes[name]]
                    for metric in SCORES
                }
                for input_ in ("f", "h_hat")
            } | {"k_sparse": [{"k": k, **of("f", SPARSE, "accuracy", k=k)} for k in self._ks(corpus)]}
        return found

    def _mean(self, corpus: str, input_: str, probe: str, metric: str, k: int | None) -> Figures:
        """Mean over the unmarked tasks."""
        several = [
            self._of(corpus, name, input_, probe, metric, **({"size": self.full[name]} if k is None else {"k": k}))
            for name in self.unmarked
        ]
        if not several:
            return {seed: None for own, seed in self.seeds.values() if own == corpus}
        resampled = [one for one in several if isinstance(one, Resampled)]
        if len(resampled) == len(several):
            return Resampled.mean(resampled)
        return {seed: mean_of([one[seed] for one in several]) for seed in several[0]}

    def _of(self, corpus: str, name: str, input_: str, probe: str, metric: str, **at: Any) -> dict[int, float | None]:
        """A score by seed; an accuracy knows its resamples."""
        entries = {
            seed: entry_of(self.cells[name, place], input_, probe, **at)
            for place, (own, seed) in self.seeds.items()
            if own == corpus
        }
        scores: dict[int, float | None] = {seed: entry[metric] for seed, entry in entries.items()}
        if metric != "accuracy":
            return scores
        count = len(self.data[name].test.y)
        draws = {seed: self._counts(name) @ unpack(one["right"], count) / count for seed, one in entries.items()}
        return Resampled(scores, draws, count)

    def _ks(self, corpus: str) -> list[int]:
        """Sizes of the k-sparse probes, which a narrow SAE may not all have."""
        place = next(place for place, (own, _) in self.seeds.items() if own == corpus)
        return ks_of(self.cells[next(iter(self.data)), place], "f")


def entry_of(entries: Sequence[Entry], input_: str, probe: str, **at: Any) -> Entry:
    """The entry of an input's probe at a size or a k."""
    return next(
        one
        for one in entries
        if one["input"] == input_ and one["probe"] == probe and all(one[key] == value for key, value in at.items())
    )


def ks_of(entries: Sequence[Entry], input_: str) -> list[int]:
    """Sizes of the k-sparse probes among entries."""
    return [one["k"] for one in entries if one["input"] == input_ and one["probe"] == SPARSE]


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean; None of nothing, or where one is not defined."""
    given = [value for value in values if value is not None]
    return float(np.mean(given)) if given and len(given) == len(values) else None
