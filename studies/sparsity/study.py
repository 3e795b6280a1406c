"""`faithful study sparsity`: overlap of decoder rows, densities, L0 on noise, and k as an axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, Tally, counted, silent
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.common.cache import ResultCache
from studies.common.codes import InTurn, code_text
from studies.common.controls import (
    PERMUTED,
    UNTRAINED,
    beside,
    frozen_shapes,
    has_untrained,
    start_of,
    untrained_sae,
)
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel, noise_rows
from studies.common.results import Done, Row, write_results
from studies.common.workers import Job, jobs_of, study_crew
from studies.sparsity import figures as sparsity_figures
from studies.sparsity.axes import BySeed, k_axes
from studies.sparsity.config import NOISE, SparsityConfig
from studies.sparsity.measure import EDGES, overlap, spectrum
from studies.sparsity.summary import Overlap, SparsityCell, SparsityStatistics, SparsitySummary
from studies.statistics.estimates import Figures
from studies.statistics.headlines import explored
from studies.statistics.verdicts import summarise

FORMAT = 1
TEXT = "text"
OVERLAPS = ("c_dec", "coherence_over_welch")
Read = dict[str, dict[str, dict[str, BySeed]]]


def study_sparsity(config: SparsityConfig, report: Reporter = silent) -> Done:
    """Measure every SAE; the panel is read once for all, random tokens for those whose number of active latents is free.

    Raises:
        FaithfulError: fewer random tokens than a context holds, and what `resolve_input` and `load_panel` refuse.
    """
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    wanted = config.noise_tokens or NOISE(found.device, found.context)
    if wanted < found.context:
        raise FaithfulError(
            f"{wanted:,} random tokens do not fill a context of {found.context}; give more noise_tokens."
        )
    noise = noise_rows(found.spec, wanted // (found.context - 1), found.context, config.seed)
    with folder_lock(config.out):
        spec = found.spec
        identity = [FORMAT, spec.revision, spec.precision, found.hook.name, panel.sha256, config.seed, len(noise)]
        cache = ResultCache(config.out / "cells", *identity)
        cells = Bench(found, panel, noise, cache).cells(config.workers, report)
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        read = {name: _read(found, saes, cells) for name, saes in groups.items()}
        shapes = {name: _statistics(found, name, groups, cells, read) for name in groups}
        summary: SparsitySummary = {
            **found.heading("sparsity", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "panel_tokens": panel.tokens,
                "noise_tokens": len(noise) * (found.context - 1),
            },
            **shapes[first],
            "shapes": {**shapes},
            "edges": list(EDGES),
            "axes": k_axes(found, read),
        }
        write_results(config.out, summary, _rows(found, cells))
        sparsity_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, cache.reused)


@dataclass(frozen=True)
class Bench:
    """Measures SAEs that are not measured yet: the panel is read once for those of a job.

    Attributes:
        found: model, hook and device.
        panel: held-out text.
        noise: contexts of random tokens.
        cache: of the SAEs' cells.
    """

    found: StudyInput
    panel: Panel
    noise: Sequence[np.ndarray]
    cache: ResultCache

    def cells(self, workers: int | None, report: Reporter) -> dict[str, SparsityCell]:
        """Of every SAE by its hash."""
        with study_crew(Bench.do, self, self.found, workers) as crew:

            def measure(saes: list[TrainedSae]) -> list[SparsityCell]:
                if crew.inherits:
                    self.found.truncated  # noqa: B018 (loaded here for all workers)
                crew.run(jobs_of([(TEXT, tuple(self.cache.lacking(saes, TEXT)))], crew.count), report)
                return [self.cache.kept(sae, TEXT) for sae in saes]

            return self.cache.figures(self.found.saes, measure)

    def do(self, job: Job, report: Reporter) -> None:
        """Measure some SAEs; keep what comes of it."""
        _, saes = job
        on_text = self._densities(saes, self.panel.rows, counted(report, TEXT, "contexts"))
        free = [sae for sae in saes if sae.outline.k is None]
        on_noise = self._densities(free, self.noise, counted(report, "random tokens", "contexts")) if free else {}
        starts: dict[tuple[Any, ...], Overlap] = {}
        for sae, density in on_text.items():
            fired, histogram = spectrum(density)
            figures: dict[str, float | None] = {**overlap(sae.tensor("W_dec")), **fired}
            l0 = fired["l0"]
            figures["l0_noise_ratio"] = float(on_noise[sae].sum()) / l0 if sae in on_noise and l0 else None
            begun = tuple(start_of(sae)) if has_untrained(sae) else None
            if begun is not None and begun not in starts:
                starts[begun] = overlap(untrained_sae(sae, torch.zeros(sae.d_in)).W_dec)
            start = {} if begun is None else starts[begun]
            self.cache.keep(sae, TEXT, {"figures": figures, "start": start, "histogram": histogram})

    def _densities(
        self, saes: Sequence[TrainedSae], rows: Sequence[np.ndarray], tally: Tally
    ) -> dict[TrainedSae, np.ndarray]:
        loads = InTurn([sae.load for sae in saes])
        coded = code_text(self.found.truncated, loads, rows, self.panel.ordinary, tally)
        return {sae: codes.density for sae, codes in zip(saes, coded.codes, strict=True)}


def _read(
    found: StudyInput, saes: Sequence[TrainedSae], cells: Mapping[str, SparsityCell]
) -> dict[str, dict[str, BySeed]]:
    """Figures of the SAEs of one shape by metric and corpus; with those of the evaluation after the training."""
    of: dict[str, dict[str, dict[int, float | None]]] = {}
    for sae, seed in zip(saes, seed_numbers(saes), strict=True):
        trained = {name: sae.figure(name) for name in ("fvu", "ce_recovered")}
        for metric, value in {**cells[sae.sha256]["figures"], **trained}.items():
            by_corpus = of.setdefault(
                metric, {name: {} for name in found.names if any(one.corpus == name for one in saes)}
            )
            by_corpus[sae.corpus][seed] = value
    return {metric: dict(by_corpus) for metric, by_corpus in of.items()}


def _statistics(
    found: StudyInput,
    shape: str,
    groups: Mapping[str, Sequence[TrainedSae]],
    cells: Mapping[str, SparsityCell],
    read: Mapping[str, dict[str, dict[str, BySeed]]],
) -> SparsityStatistics:
    """Figures, contrasts and controls of the SAEs of one shape; figures that no SAE has are left out."""
    saes, of = groups[shape], read[shape]
    trained = ("fvu", "ce_recovered")
    figures = {
        metric: by_corpus
        for metric, by_corpus in of.items()
        if metric not in trained and any(value is not None for one in by_corpus.values() for value in one.values())
    }
    statistics = summarise(explored("c_dec"), figures, found.own, is_headline=False, controls=found.controls)
    frozen = frozen_shapes(found.saes, shape)
    told = []
    for metric in OVERLAPS:
        if metric in figures:
            start: dict[str, dict[int, float | None]] = {name: {} for name in figures[metric]}
            for sae, seed in zip(saes, seed_numbers(saes), strict=True):
                if cells[sae.sha256]["start"]:
                    start[sae.corpus][seed] = cells[sae.sha256]["start"][metric]
            controls: dict[str, Mapping[str, Figures]] = {PERMUTED: figures[metric], UNTRAINED: start}
            controls |= {name: read[one][metric] for name, one in frozen.items()}
            told += beside(metric, figures[metric], controls, higher=False)
    histograms = {
        name: np.mean([cells[sae.sha256]["histogram"] for sae in saes if sae.corpus == name], axis=0).tolist()
        for name in statistics["corpora"]
    }
    return {**statistics, "beside": told, "histograms": histograms}


def _rows(found: StudyInput, cells: Mapping[str, SparsityCell]) -> list[Row]:
    """Every figure of every SAE, and the overlaps of its start."""
    rows = []
    for sae in found.saes:
        cell, base = cells[sae.sha256], Row("sparsity", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        rows += [replace(base, metric=metric, value=value) for metric, value in cell["figures"].items()]
        rows += [replace(base, metric=one, value=value, other=UNTRAINED) for one, value in cell["start"].items()]
    return rows
