"""`faithful study interventions`: SCR and TPP of every SAE, with their controls, and without a verdict."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.common.cache import ResultCache
from studies.common.codes import Moments, moments_of
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
from studies.interventions import figures as interventions_figures
from studies.interventions.config import InterventionsConfig, refuse, refuse_few_classes, task_of
from studies.interventions.examples import PairData, load_pair
from studies.interventions.measure import (
    Part,
    Ranking,
    Read,
    Spurious,
    Trained,
    figures_of,
    one_against_rest,
    shuffled,
    spurious,
    trained,
)
from studies.interventions.summary import Asked, InterventionsSummary
from studies.probes.features import pool_batch, pool_features, text_rows
from studies.probes.tasks.embedded import EmbeddedText
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.read import load_task
from studies.statistics.estimates import estimate
from studies.statistics.records import Statistics

FORMAT = 3
TOGETHER, ROWS_OF_MOMENTS = 18, 64
TRAINED, RANDOM = "trained", "random latents"
METRICS = ("scr", "tpp")
Figures = dict[str, dict[str, float | None]]


def study_interventions(config: InterventionsConfig, report: Reporter = silent) -> Done:
    """Measure SCR and TPP.

    Memory: eighteen SAEs and their pooled codes at a time.

    Raises:
        FaithfulError: texts that cannot be read or are too few, a task of two classes, and what `resolve_input` refuses.
    """
    refuse(config)
    found = resolve_input(config)
    embedded = EmbeddedText(lambda: found.tokenizer, found.spec, found.context)
    pair = load_pair(config.pair, config.train_size, config.test_size, config.seed, embedded)
    texts, classes, is_test, name = _of_tpp(config, pair, embedded)
    with folder_lock(config.out):
        bench = Bench(config, found, {"scr": pair.texts, "tpp": texts}, embedded)
        parts = [Part(pair.balanced(False), pair.balanced(True), pair.values[:, at]) for at in (0, 1)]
        of = (
            spurious(bench.h["scr"], parts, pair.biased(), config.seed),
            trained(bench.h["tpp"], one_against_rest(classes, is_test, config.seed), config.seed),
        )
        cells = bench.cells(of, config.workers, report)
        shapes = ordered_shapes(found.saes)
        first = next(iter(shapes))
        made = {shape: _statistics(found, shapes, shape, cells, config.latents) for shape in shapes}
        summary: InterventionsSummary = {
            **found.heading("interventions", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "texts": len(pair.texts),
                "latents": list(config.latents),
                "context": found.context,
            },
            "asked": _asked(pair, name, of),
            **made[first],
            "shapes": {**made},
            "reused": bench.reused,
        }
        write_results(config.out, summary, _rows(found.saes, cells))
        interventions_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, bench.reused)


def _of_tpp(
    config: InterventionsConfig, pair: PairData, embedded: EmbeddedText
) -> tuple[list[str], np.ndarray, np.ndarray, str]:
    """Texts of TPP with their classes, and which are tested; the crossings of the pair where no task is named.

    Raises:
        FaithfulError: a task of fewer than three classes, a class without a test text, and what `load_task` refuses.
    """
    if config.task is None:
        return pair.texts, pair.crossing, pair.is_test, f"{pair.name}, crossed"
    task = task_of(config.task)
    data = load_task(task, Draw(4 * config.train_size, 4 * config.test_size, config.seed, 2), embedded)
    refuse_few_classes(task, data.labels)
    tested = np.bincount(data.test.y, minlength=len(data.labels))
    if tested.min() == 0:
        raise FaithfulError(
            f"{task.name} has no test text of the class '{data.labels[tested.argmin()]}' and TPP asks about each; raise"
            " test_size, or name another --task."
        )
    sides = np.arange(len(data.texts)) >= len(data.train.y)
    return data.texts, np.concatenate([data.train.y, data.test.y]), sides, task.name


class Bench:
    """Reads the texts for the SAEs that are not measured yet.

    Attributes:
        h: pooled activations of the texts of SCR and TPP, float64 [texts, d_in]; texts that are the same are read once.
    """

    def __init__(
        self, config: InterventionsConfig, found: StudyInput, texts: Mapping[str, list[str]], embedded: EmbeddedText
    ) -> None:
        self.found, self.counts, self.seed, self.out = found, config.latents, config.seed, config.out
        self.ordinary = ordinary_ids(found.spec)
        same = texts["scr"] == texts["tpp"]
        self.rows = {name: text_rows(one, embedded.encoder, found.spec.bos_id) for name, one in texts.items()}
        self.kinds = {name: "scr" if same else name for name in texts}
        pooled = {kind: self._pooled(kind, []).h.astype(np.float64) for kind in set(self.kinds.values())}
        self.h = {name: pooled[kind] for name, kind in self.kinds.items()}
        self.of: tuple[Spurious, Trained]
        self.reused = 0

    @cached_property
    def moments(self) -> Moments:
        """Of the activations of some of the texts of SCR, of every crossing: they come sorted by it."""
        rows = self.rows["scr"]
        return moments_of(self.found.truncated, rows[:: -(-len(rows) // ROWS_OF_MOMENTS)], self.ordinary)

    def cells(
        self, of: tuple[Spurious, Trained], workers: int | None, report: Reporter
    ) -> dict[str, dict[str, Figures]]:
        """Of every SAE by its hash: `trained` and each control, by number of latents."""
        self.of, spec = of, self.found.spec
        rows = [[row.tolist() for row in self.rows[name]] for name in self.rows]
        parts = [[one.train.tolist(), one.test.tolist(), one.y.tolist()] for one in (*of[0].labels.parts, *of[1].parts)]
        self._cells = ResultCache(
            self.out / "cells", FORMAT, spec.revision, spec.precision, self.found.hook.name, rows, parts,
            list(self.counts), self.seed,
        )  # fmt: skip
        with study_crew(Bench.do, self, self.found, workers) as crew:

            def measure(saes: list[TrainedSae]) -> list[dict[str, Figures]]:
                if crew.inherits:
                    self.moments  # noqa: B018 (the model is loaded here, and read once)
                measure_in_groups(crew, self._cells, saes, TRAINED, TOGETHER, report)
                return [
                    self._cells.kept(sae, TRAINED)
                    | ({UNTRAINED: kept_start(self._cells, sae)} if has_untrained(sae) else {})
                    for sae in saes
                ]

            cells = self._cells.figures(self.found.saes, measure)
        self.reused = self._cells.reused
        return cells

    def do(self, job: Job, report: Reporter) -> None:
        """Measure some SAEs with their controls, or untrained starts, from one reading; keep what comes of it."""
        what, saes = job
        moments = self.moments if what == UNTRAINED else None
        made = [sae.load() if moments is None else untrained_sae(sae, moments.mean, moments.covariance) for sae in saes]
        pooled = {kind: self._pooled(kind, made) for kind in dict.fromkeys(self.kinds.values())}
        for place, (sae, one) in enumerate(zip(saes, made, strict=True)):
            codes = {metric: pooled[kind].codes[place] for metric, kind in self.kinds.items()}
            if what == UNTRAINED:
                keep_start(self._cells, sae, self._figures(codes, one))
                continue
            cell = {
                TRAINED: self._figures(codes, one),
                RANDOM: self._figures(codes, one, shuffled(self.seed)),
                PERMUTED: self._figures(codes, permuted_sae(one, self.seed)),  # whose codes are the SAE's
            }
            self._cells.keep(sae, TRAINED, cell)

    def _figures(self, codes: Mapping[str, Any], sae: Autoencoder, ranking: Ranking | None = None) -> Figures:
        decoder = sae.W_dec.double().cpu().numpy()
        reads = {metric: Read(of, decoder) for metric, of in codes.items()}
        return figures_of(self.h, reads, self.of, self.counts, ranking)

    def _pooled(self, kind: str, saes: Sequence[Autoencoder]) -> Any:
        model = self.found.truncated
        return pool_features(
            self.rows[kind], model.d_in, [sae.d_sae for sae in saes],
            lambda batches: ((at, pool_batch(model, saes, batch, self.ordinary, "mean")) for at, batch in enumerate(batches)),
        )  # fmt: skip


def _asked(pair: PairData, task: str, of: tuple[Spurious, Trained]) -> Asked:
    return {
        "pair": pair.name, "labels": list(pair.labels), "accuracies": list(of[0].labels.accuracies),
        "fooled": list(of[0].fooled), "task": task, "class_accuracies": list(of[1].accuracies),
    }  # fmt: skip


def _statistics(
    found: StudyInput,
    shapes: Mapping[str, Sequence[TrainedSae]],
    shape: str,
    cells: Mapping[str, Any],
    counts: Sequence[int],
) -> Statistics:
    """Means over seeds by corpus, and the controls beside; nothing is contrasted."""
    saes = shapes[shape]
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]

    def of(kind: str, count: int, metric: str, saes: Sequence[TrainedSae] = saes) -> dict[str, dict[int, float | None]]:
        numbers = dict(zip(saes, seed_numbers(saes), strict=True))
        return {
            name: {
                numbers[sae]: cells[sae.sha256][kind][str(count)][metric]
                for sae in saes
                if sae.corpus == name and kind in cells[sae.sha256]
            }
            for name in names
        }

    every = [(metric, count) for metric in METRICS for count in counts]
    corpora = {
        name: {f"{metric}_n{count}": estimate(of("trained", count, metric)[name]).summary() for metric, count in every}
        for name in names
    }
    controls = [kind for kind in dict.fromkeys(k for sae in saes for k in cells[sae.sha256]) if kind != "trained"]
    middle = sorted(counts)[len(counts) // 2]
    frozen = frozen_shapes(found.saes, shape)
    ahead = []
    for metric in METRICS:
        figures = {kind: of(kind, middle, metric) for kind in controls}
        figures |= {name: of("trained", middle, metric, shapes[one]) for name, one in frozen.items()}
        ahead += beside(f"{metric}_n{middle}", of("trained", middle, metric), figures)
    return {"corpora": corpora, "contrasts": [], "beside": ahead}


def _rows(saes: Sequence[TrainedSae], cells: Mapping[str, Any]) -> list[Row]:
    """Every figure; the parameter is the number of latents taken out, a control's name stands behind the metric."""
    rows = []
    for sae in saes:
        for kind, by_count in cells[sae.sha256].items():
            ending = "" if kind == "trained" else f"_{kind.split()[0]}"
            for count, figures in by_count.items():
                rows += [
                    Row(
                        "interventions",
                        sae.corpus,
                        f"{metric}{ending}",
                        value,
                        float(count),
                        seed=sae.seed,
                        shape=sae.shape,
                    )
                    for metric, value in figures.items()
                ]
    return rows
