"""`faithful study absorption`: first letters, and parents and children of files, with controls beside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.digest import digest
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, counted, silent
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.absorption import figures as absorption_figures
from studies.absorption.config import LETTERS, STRONG_F1, WORDS, AbsorptionConfig, check
from studies.absorption.measure import ParentFigures, Probed, absorption, probe_texts
from studies.absorption.summary import AbsorptionCell, AbsorptionStatistics, AbsorptionSummary, Kinds, TaskProbed
from studies.absorption.texts import Labelled, find_tasks
from studies.common.cache import ResultCache
from studies.common.codes import Moments, activations_of
from studies.common.controls import (
    PERMUTED,
    UNTRAINED,
    beside,
    frozen_shapes,
    has_untrained,
    permuted_sae,
    untrained_sae,
)
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import ordinary_ids
from studies.common.results import Done, Row, write_results
from studies.common.workers import Job, keep_start, kept_start, measure_in_groups, study_crew
from studies.statistics.estimates import estimate
from studies.statistics.headlines import explored
from studies.statistics.records import Figure
from studies.statistics.verdicts import summarise

FORMAT = 2
TRAINED = "trained"
METRICS = (
    "full_absorption",
    "absorption_fraction_032",
    "absorption_fraction_060",
    "main_silent",
    "split_latents",
    "main_f1",
)
HIGHER = ("main_f1",)
"""Of which more is better; of the others less."""
CONTROLLED = ("full_absorption", "absorption_fraction_060", "main_f1")
NONE_STRONG = "the probes find no parent in the model's activations"
TOO_FEW = "fewer than two parents have texts enough"
Values = dict[str, dict[int, float | None]]
Of = Callable[[AbsorptionCell], float | None]


def study_absorption(config: AbsorptionConfig, report: Reporter = silent) -> Done:
    """Measure absorption in every SAE and its controls, task by task.

    Activations are read and probes fitted once for all SAEs; an SAE's figures are kept by its hash. A parent counts where its
    probe has an F1 above 0.6 on texts that it has not seen; figures of a task are means over these parents, those of the
    study over the tasks that have any.

    Raises:
        FaithfulError: nothing to measure, files without labels, and what `resolve_input` refuses.
    """
    check(config)
    found = resolve_input(config)
    tasks = find_tasks(config, found, config.tokens or WORDS(found.device, found.context))
    with folder_lock(config.out):
        bench = Bench(config, found, tasks)
        cells = bench.cells(config.workers, report)
        probed = {name: bench.scores(task, report) for name, task in bench.tasks.items()}
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        shapes = {name: _statistics(found, name, groups, cells, probed) for name in groups}
        summary: AbsorptionSummary = {
            **found.heading("absorption", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "texts": {name: len(task.rows) for name, task in bench.tasks.items()},
                "folds": config.folds,
                "examples": config.examples,
            },
            "tasks": probed,
            **shapes[first],
            "shapes": {**shapes},
        }
        write_results(config.out, summary, _rows(found, cells, probed))
        absorption_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, bench.reused)


class Bench:
    """Tasks with their activations and probes, which are made where some SAE still needs them."""

    def __init__(self, config: AbsorptionConfig, found: StudyInput, tasks: Sequence[Labelled]) -> None:
        self.config, self.found = config, found
        self.tasks = {task.name: task for task in tasks}
        self._probed: dict[str, Probed] = {}
        spec = found.spec
        labels = [[task.name, list(task.names), task.parents.tolist(), list(task.children)] for task in tasks]
        identity = [FORMAT, spec.revision, spec.precision, found.hook.name, config.seed, config.folds, labels]
        rows = [row.tobytes() for task in tasks for row in task.rows]
        told = digest(identity, *rows)
        self._cache, self._scores = (ResultCache(config.out / "cells", told, of) for of in ("SAEs", "probes"))

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cache.reused

    def cells(self, workers: int | None, report: Reporter) -> dict[str, AbsorptionCell]:
        """Figures of every SAE by its hash."""
        with study_crew(Bench.do, self, self.found, workers) as crew:

            def measure(saes: list[TrainedSae]) -> list[AbsorptionCell]:
                for task in self._measured.values():
                    self._probes(task, report)  # here, once for all workers
                measure_in_groups(crew, self._cache, saes, TRAINED, 1, report)
                return [self._cell(sae) for sae in saes]

            return self._cache.figures(self.found.saes, measure)

    def do(self, job: Job, report: Reporter) -> None:
        """Measure SAEs with their permuted decoders, or untrained starts; keep what comes of it."""
        what, saes = job
        for sae in saes:
            if what == UNTRAINED:
                keep_start(self._cache, sae, {name: self._of_start(sae, task) for name, task in self._measured.items()})
                continue
            loaded = sae.load().to(device=self.found.device)
            permuted = permuted_sae(loaded, self.config.seed)  # whose codes are the SAE's
            decoders = {TRAINED: loaded.W_dec, PERMUTED: permuted.W_dec}
            of = {name: self._of(loaded, decoders, task) for name, task in self._measured.items()}
            self._cache.keep(sae, TRAINED, of)

    @property
    def _measured(self) -> dict[str, Labelled]:
        """The tasks that have parents."""
        return {name: task for name, task in self.tasks.items() if task.names}

    def _of_start(self, sae: TrainedSae, task: Labelled) -> dict[str, ParentFigures]:
        moments = Moments.of(self._probes(task, silent).x)
        start = untrained_sae(sae, moments.mean, moments.covariance).to(device=self.found.device)
        return self._of(start, {UNTRAINED: start.W_dec}, task)[UNTRAINED]

    def _of(self, sae: Autoencoder, decoders: Mapping[str, Tensor], task: Labelled) -> Kinds:
        of = absorption(sae, decoders, self._probes(task, silent))
        return {
            kind: {task.names[parent]: figures for parent, figures in parents.items()} for kind, parents in of.items()
        }

    def _cell(self, sae: TrainedSae) -> AbsorptionCell:
        kept = self._cache.kept(sae, TRAINED)
        start = kept_start(self._cache, sae) if has_untrained(sae) else {}
        return {
            "tasks": {
                name: kept.get(name, {TRAINED: {}}) | ({UNTRAINED: start[name]} if name in start else {})
                for name in self.tasks
            }
        }

    def scores(self, task: Labelled, report: Reporter) -> TaskProbed:
        """What the probes of a task find, each parent by its name."""
        found = self._kept(task, lambda: self._probes(task, report).scores)
        scores = dict(zip(task.names, found.tolist(), strict=True))
        strong = [name for name in task.names if scores[name] > STRONG_F1]
        weak = [name for name in task.names if name not in strong]
        return {
            "texts": len(task.rows), "probes": scores, "strong": strong, "weak": weak, "few": list(task.few),
            "unread": task.unread,
        }  # fmt: skip

    def _kept(self, task: Labelled, scores: Callable[[], np.ndarray]) -> np.ndarray:
        """The F1 of each parent as the first study of these texts found it: probes fitted anew may differ in the last bits,
        and must not make another parent strong than those that the other SAEs were measured on."""
        if not task.names:
            return np.zeros(0)
        kept = self._scores.once(lambda: dict(zip(task.names, scores().tolist(), strict=True)), task.name)
        return np.array([kept[name] for name in task.names])

    def _probes(self, task: Labelled, report: Reporter) -> Probed:
        if task.name not in self._probed:
            x = last_activations(self.found, task.rows, counted(report, f"texts of {task.name}", "contexts"))
            children = () if task.name == LETTERS else task.children
            found = probe_texts(x, task.parents, self.config.folds, self.config.seed, children)
            self._probed[task.name] = replace(found, scores=self._kept(task, lambda: found.scores))
        return self._probed[task.name]


def last_activations(found: StudyInput, rows: Sequence[np.ndarray], tally: Any) -> Tensor:
    """Activations of the last token of each context that is no special one, float32 [rows, d_in], on the model's device.

    Every context has such a token.
    """
    ordinary = ordinary_ids(found.spec)
    last = np.array([np.flatnonzero(ordinary[row])[-1] for row in rows])
    h = torch.empty(len(rows), found.truncated.d_in, device=found.device)
    for owners, positions, pieces in activations_of(found.truncated, rows, ordinary, tally):
        is_last = positions == last[owners]
        h[torch.from_numpy(owners[is_last]).to(h.device)] = pieces[torch.from_numpy(is_last).to(pieces.device)]
    return h


def _of_parent(figures: ParentFigures, metric: str) -> float | None:
    """A figure of a parent; None where the probe finds it in no text."""
    if metric == "split_latents":
        return figures["latents"] - 1
    if metric == "main_f1":
        return figures["main_f1"]
    name = {
        "full_absorption": "full", "absorption_fraction_032": "fraction_032", "absorption_fraction_060": "fraction_060",
        "main_silent": "silent",
    }[metric]  # fmt: skip
    values: Mapping[str, Any] = figures
    return values[name] / figures["found"] if figures["found"] else None


def _of_task(cell: AbsorptionCell, task: str, kind: str, strong: Sequence[str], metric: str) -> float | None:
    """Mean over the strong parents; None without any, or where the control is not to be had."""
    of = cell["tasks"][task].get(kind, {})
    values = [value for name in strong if name in of and (value := _of_parent(of[name], metric)) is not None]
    return float(np.mean(values)) if values else None


def _of_sae(cell: AbsorptionCell, probed: Mapping[str, TaskProbed], kind: str, metric: str) -> float | None:
    """Mean over tasks."""
    found = [_of_task(cell, name, kind, task["strong"], metric) for name, task in probed.items()]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None


def _statistics(
    found: StudyInput,
    shape: str,
    groups: Mapping[str, Sequence[TrainedSae]],
    cells: Mapping[str, AbsorptionCell],
    probed: Mapping[str, TaskProbed],
) -> AbsorptionStatistics:
    """Figures, contrasts and controls of the SAEs of one shape."""

    def by_seed(of: Of, saes: Sequence[TrainedSae] = groups[shape]) -> Values:
        values: Values = {name: {} for name in found.names if any(sae.corpus == name for sae in saes)}
        for sae, seed in zip(saes, seed_numbers(saes), strict=True):
            values[sae.corpus][seed] = of(cells[sae.sha256])
        return values

    of_kind = {
        kind: {metric: by_seed(partial(_of_sae, probed=probed, kind=kind, metric=metric)) for metric in METRICS}
        for kind in (TRAINED, PERMUTED, UNTRAINED)
    }
    frozen = {
        name: {
            metric: by_seed(partial(_of_sae, probed=probed, kind=TRAINED, metric=metric), groups[one])
            for metric in CONTROLLED
        }
        for name, one in frozen_shapes(found.saes, shape).items()
    }
    controls = {PERMUTED: of_kind[PERMUTED], UNTRAINED: of_kind[UNTRAINED], **frozen}
    strong = any(task["strong"] for task in probed.values())
    trained = of_kind[TRAINED]
    statistics = summarise(
        explored("full_absorption"), trained, found.own, is_headline=False, controls=found.controls,
        undefined=None if strong else NONE_STRONG if any(task["probes"] for task in probed.values()) else TOO_FEW,
    )  # fmt: skip
    told = [
        one
        for metric in CONTROLLED
        for one in beside(
            metric, trained[metric], {name: of[metric] for name, of in controls.items()}, higher=metric in HIGHER
        )
    ]
    return {**statistics, "beside": told, **_by_task(by_seed, probed, cells, groups[shape])}


def _by_task(
    by_seed: Callable[[Of], Values],
    probed: Mapping[str, TaskProbed],
    cells: Mapping[str, AbsorptionCell],
    saes: Sequence[TrainedSae],
) -> AbsorptionStatistics:
    """Means over seeds by task, by parent and by child."""

    def summary(of: Of) -> dict[str, Figure]:
        return {corpus: estimate(seeds).summary() for corpus, seeds in by_seed(of).items()}

    found: AbsorptionStatistics = {"of_tasks": {}, "parents": {}, "children": {}}
    for name, task in probed.items():
        of_task = partial(_of_task, task=name, kind=TRAINED, strong=task["strong"])
        found["of_tasks"][name] = _turned({metric: summary(partial(of_task, metric=metric)) for metric in METRICS})
        found["parents"][name] = {
            parent: _turned(
                {
                    one: summary(partial(_of_named, task=name, parent=parent, metric=one))
                    for one in ("full_absorption", "main_f1")
                }
            )
            for parent in task["strong"]
        }
        of_saes = [cells[sae.sha256]["tasks"][name][TRAINED] for sae in saes]
        children = {(parent, child) for of in of_saes for parent in task["strong"] for child in of[parent]["children"]}
        found["children"][name] = {
            f"{parent}: {child}": summary(partial(_of_child, task=name, parent=parent, child=child))
            for parent, child in sorted(children)
        }
    return found


def _turned(by_metric: Mapping[str, Mapping[str, Figure]]) -> dict[str, dict[str, Figure]]:
    """By corpus and metric what is by metric and corpus."""
    corpora = dict.fromkeys(corpus for of in by_metric.values() for corpus in of)
    return {name: {metric: of[name] for metric, of in by_metric.items() if name in of} for name in corpora}


def _of_named(cell: AbsorptionCell, task: str, parent: str, metric: str) -> float | None:
    return _of_parent(cell["tasks"][task][TRAINED][parent], metric)


def _of_child(cell: AbsorptionCell, task: str, parent: str, child: str) -> float | None:
    many, absorbed = cell["tasks"][task][TRAINED][parent]["children"].get(child, (0, 0))
    return absorbed / many if many else None


def _rows(found: StudyInput, cells: Mapping[str, AbsorptionCell], probed: Mapping[str, TaskProbed]) -> list[Row]:
    """Every figure of every SAE over the tasks, of each task, and of its controls."""
    rows = []
    for sae in found.saes:
        cell = cells[sae.sha256]
        base = Row("absorption", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        for metric in METRICS:
            rows.append(replace(base, metric=metric, value=_of_sae(cell, probed, TRAINED, metric)))
            for name, task in probed.items():
                value = _of_task(cell, name, TRAINED, task["strong"], metric)
                rows.append(replace(base, metric=metric, value=value, other=name))
        for kind in (PERMUTED, UNTRAINED):
            rows += [
                replace(base, metric=metric, value=_of_sae(cell, probed, kind, metric), other=kind)
                for metric in CONTROLLED
            ]
    return rows
