"""`faithful study reconstruction`: how well SAEs of each corpus rebuild the activations of every corpus, at k and below."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, remark, silent
from faithful.store.saes import TrainedSae, by_corpus, ordered_shapes, seed_numbers
from studies.common.controls import ControlSae, beside, frozen_shapes
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.common.results import Done, Row, write_results
from studies.reconstruction import figures as reconstruction_figures
from studies.reconstruction.config import HEADLINE, ReconstructionConfig
from studies.reconstruction.measure import PANEL, Bench
from studies.reconstruction.summary import RebuiltCell, ReconstructionStatistics, ReconstructionSummary
from studies.statistics.estimates import estimate
from studies.statistics.parts import Parts
from studies.statistics.records import Beside
from studies.statistics.resampled import Resampled, resample_counts
from studies.statistics.verdicts import NORMAL, summarise

MATRICES = ("fvu", "ce_diff", "ce_recovered", "kl")
CONTROLLED = {"fvu": False, "ce_recovered": True}
"""Figures of the controls, and whether more is better."""
PER_TOKEN = 0.13
"""Standard error of a contrast of `ce_recovered`, times the root of the tokens of the text."""
OF_LOSSES = ("ce_diff", "ce_recovered", "kl")


def study_reconstruction(config: ReconstructionConfig, report: Reporter = silent) -> Done:
    """Measure every SAE on the held-out text of every corpus, and on all of it together (the panel).

    The headline is `ce_recovered` on matched and on foreign text (`studies.statistics.headlines`). Losses are kept per
    context: those metrics' intervals are over the contexts too, the same resample of which serves every SAE; those of `fvu`
    and the other figures of activations are over the seeds alone.

    The panel's figures come from its own sums over all parts, not from the parts' means. Per SAE and divisor one pass above
    the hook is made over the panel. What a part gave is kept at once, so that a killed study goes on with the next part; an
    SAE's figures are kept by its hash.

    Raises:
        FaithfulError: a divisor below 1, no divisor 1, and what `resolve_input` and `load_panel` refuse.
    """
    if 1 not in config.ks or min(config.ks) < 1:
        raise FaithfulError("The divisors of k are whole numbers of at least 1, 1 among them; write ks = [1, 2, 4].")
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    if warning := reconstruction_leaves_open(found, panel.tokens):
        report(remark(warning))
    with folder_lock(config.out):
        bench = Bench(config, found, panel)
        cells = bench.cells(report)
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        shapes = {
            name: _summary(found, panel, saes, cells, name == first, config.seed) for name, saes in groups.items()
        }
        summary: ReconstructionSummary = {
            **found.heading("reconstruction", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "panel_tokens": panel.tokens,
                "k_divisors": list(config.ks),
                "context": found.context,
                "layout": found.layout,
            },
            **shapes[first],
            "beside": _beside(found, panel, groups, bench.controls, cells, config.seed),
            "shapes": {**shapes},
        }
        write_results(config.out, summary, _rows([*found.saes, *bench.controls], cells))
        reconstruction_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, bench.reused)


def reconstruction_leaves_open(found: StudyInput, tokens: Mapping[str, int]) -> str | None:
    """What to say before a reconstruction of so many tokens of each part; None where the margin can be resolved."""
    if not tokens:
        return None
    reach = NORMAL * PER_TOKEN / math.sqrt(min(tokens.values()))
    wanted = math.ceil((NORMAL * PER_TOKEN / HEADLINE.margin) ** 2 * len(tokens) / 1000)
    return found.leaves_open(HEADLINE, reach, f"--tokens {wanted}k")


class _Figures:
    """Figures of the SAEs of one shape, by metric, place and k, with what resamples of the contexts make of them."""

    def __init__(
        self, names: Sequence[str], saes: Sequence[TrainedSae], cells: dict[str, RebuiltCell], panel: Panel, seed: int
    ) -> None:
        self.names, self.saes, self.cells, self.parts = names, saes, cells, list(panel.parts)
        self.counts = {name: resample_counts(len(rows), seed, f"text of {name}") for name, rows in panel.parts.items()}

    def of(self, metric: str, place: str, k: str) -> dict[str, dict[int, float | None]]:
        """By corpus and seed; `Resampled` where the metric is one of losses."""
        found: dict[str, dict[int, float | None]] = {name: {} for name in self.names}
        draws: dict[str, dict[int, np.ndarray]] = {name: {} for name in self.names}
        for sae, seed in zip(self.saes, seed_numbers(self.saes), strict=True):
            found[sae.corpus][seed] = self.cells[sae.sha256]["figures"][place][k][metric]
            if metric in OF_LOSSES:
                draws[sae.corpus][seed] = self._draws(sae, metric, place, k)
        if metric not in OF_LOSSES:
            return found
        units = sum(counts.shape[1] for part, counts in self.counts.items() if place in (part, PANEL))
        return {name: Resampled(figures, draws[name], units) for name, figures in found.items()}

    def _draws(self, sae: TrainedSae, metric: str, place: str, k: str) -> np.ndarray:
        """The metric under each resample, the parts drawn each by itself, float64 [draws]."""
        sums: dict[str, Any] = dict.fromkeys(("tokens", "ce_clean", "ce_sae", "ce_zero", "kl"), 0.0)
        for part in self.parts if place == PANEL else [place]:
            losses = self.cells[sae.sha256]["contexts"][part][k]
            for name in sums:
                sums[name] = sums[name] + self.counts[part] @ np.array(losses[name], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "ce_recovered":
                return np.asarray((sums["ce_zero"] - sums["ce_sae"]) / (sums["ce_zero"] - sums["ce_clean"]))
            lost = sums["kl"] if metric == "kl" else sums["ce_sae"] - sums["ce_clean"]
            return np.asarray(lost / sums["tokens"])


def _summary(
    found: StudyInput,
    panel: Panel,
    saes: Sequence[TrainedSae],
    cells: dict[str, RebuiltCell],
    is_headline: bool,
    seed: int,
) -> ReconstructionStatistics:
    """Statistics, matrices and the ladder of k of one shape."""
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
    places = [*panel.parts, PANEL]
    first = cells[saes[0].sha256]["figures"]
    full = _full(first)
    figures = _Figures(names, saes, cells, panel, seed)
    on_panel = {metric: figures.of(metric, PANEL, full) for metric in (*MATRICES, "l0", "mse", "cosine", "l2_ratio")}
    parts = {place: figures.of("ce_recovered", place, full) for place in panel.parts}
    statistics = summarise(
        HEADLINE, on_panel, found.own, Parts(parts, found.matched, found.foreign),
        panel.positions(names, found.context), is_headline=is_headline, controls=found.controls,
    )  # fmt: skip
    by_place = {metric: {place: figures.of(metric, place, full) for place in places} for metric in MATRICES}
    matrices = {
        metric: {name: {place: estimate(of[place][name]).summary() for place in places} for name in names}
        for metric, of in by_place.items()
    }
    by_k = {k: {metric: figures.of(metric, PANEL, k) for metric in MATRICES} for k in first[PANEL]}
    ladder = {
        name: {k: {metric: estimate(of[metric][name]).summary() for metric in MATRICES} for k, of in by_k.items()}
        for name in names
    }
    return {**statistics, "matrices": matrices, "reduced_k": ladder}


def _beside(
    found: StudyInput,
    panel: Panel,
    groups: Mapping[str, Sequence[TrainedSae]],
    controls: Sequence[ControlSae],
    cells: dict[str, RebuiltCell],
    seed: int,
) -> list[Beside]:
    """Figures on the panel of the SAEs of the first shape, and of their controls."""
    first = next(iter(groups))
    made: dict[str, list[TrainedSae]] = {}
    for one in controls:
        made.setdefault(one.control, []).append(one)
    made |= {name: [*groups[shape]] for name, shape in frozen_shapes(found.saes, first).items()}

    def of(saes: Sequence[TrainedSae], metric: str) -> dict[str, dict[int, float | None]]:
        names = [name for name in found.names if name in by_corpus(saes)]
        figures = _Figures(names, saes, cells, panel, seed)
        return figures.of(metric, PANEL, _full(cells[saes[0].sha256]["figures"]))

    return [
        entry
        for metric, higher in CONTROLLED.items()
        for entry in beside(
            metric, of(groups[first], metric), {name: of(saes, metric) for name, saes in made.items()}, higher
        )
    ]


def _full(figures: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """The name of the largest k measured."""
    return max(figures[PANEL], key=lambda k: math.inf if k == "all" else int(k))


def _rows(saes: Sequence[TrainedSae], cells: dict[str, RebuiltCell]) -> list[Row]:
    """Every figure of every SAE on every text, of controls those of `CONTROLLED`; the parameter is k."""
    rows = []
    for sae in saes:
        control = f":{sae.control}" if isinstance(sae, ControlSae) else ""
        base = Row("reconstruction", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        for place, by_k in cells[sae.sha256]["figures"].items():
            for k, values in by_k.items():
                at = None if k == "all" else float(k)
                rows += [
                    replace(base, metric=metric + control, value=value, parameter=at, other=place)
                    for metric, value in values.items()
                    if metric in CONTROLLED or not control
                ]
    return rows
