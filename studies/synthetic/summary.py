"""Statistics over truths: estimates, and contrasts of every variant with topk."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faithful.sae.variant import DEFAULT
from studies.common.controls import PERMUTED, UNTRAINED, beside
from studies.common.results import Row, Summary
from studies.statistics.estimates import estimate
from studies.statistics.headlines import Headline
from studies.statistics.records import Beside, Contrast, Figure, Numbers
from studies.statistics.sentences import ORACLE
from studies.statistics.verdicts import Comparison, judge
from studies.synthetic.bench import Bench, Job
from studies.synthetic.config import EXPLORED, HIGHER, JUDGED
from studies.synthetic.planted import Planted

Values = dict[int, dict[Any, float | None]]
"""Figures by truth seed, and there by init seed or pair of them."""
CONDITIONAL = "Intervals and p-values are over truths and init seeds, given the sizes and the length of the training."


class SyntheticSummary(Summary, total=False):
    """What the study leaves.

    Attributes:
        arms: variants as they were asked for, with all their parameters.
        truths: names of the entries of `corpora`, by truth.
        planted: what rules find of planted foreign latents, by variant and truth and by what the SAEs were trained on.
    """

    arms: dict[str, str]
    truths: dict[str, list[str]]
    planted: dict[str, dict[str, Planted]]


def name_of(job: Job) -> str:
    """Of a variant on a truth, as `corpora` and contrasts have it."""
    return f"{job.arm.label} on {job.truth}"


def measured(bench: Bench, jobs: Iterable[Job]) -> dict[str, dict[str, Values]]:
    """All figures by variant on a truth and by name."""
    found: dict[str, dict[str, Values]] = {}
    for job in jobs:
        of = found.setdefault(name_of(job), {})
        seeds = bench.config.seeds
        every: dict[Any, Numbers] = {seed: bench.figures(job, seed) for seed in seeds}
        every |= {pair: bench.pair(job, *pair) for pair in bench.pairs}
        for key, figures in every.items():
            for metric, value in figures.items():
                figure = None if value is None or not math.isfinite(value) else float(value)
                of.setdefault(metric, {}).setdefault(job.truth_seed, {})[key] = figure
    return found


def estimates(figures: Mapping[str, Values]) -> dict[str, Figure]:
    """Mean of each figure over truths, of each the mean over its SAEs or pairs."""
    return {metric: estimate(by_truth(values)).summary() for metric, values in figures.items()}


def by_truth(values: Values) -> dict[int, float | None]:
    """Mean of each truth's figures."""
    return {truth: _mean(of.values()) for truth, of in values.items()}


def contrasts(figures: Mapping[str, Mapping[str, Values]], jobs: Sequence[Job]) -> list[Contrast]:
    """Every variant against topk on the same truths with the same init seeds.

    A Holm family for each judged figure on each kind of truth: all variants of topk's sizes but the controls, which train no
    decoder or no encoder and are there to be fallen short of. What is in no family is exploratory.
    """
    truths = dict.fromkeys(job.truth for job in jobs)
    return [entry for one in (*JUDGED, EXPLORED) for truth in truths for entry in _judged(one, figures, jobs, truth)]


def controlled(figures: Mapping[str, Mapping[str, Values]], jobs: Sequence[Job]) -> list[Beside]:
    """Topk on each truth beside its controls: the truth itself, what is made of its SAEs, and the variants that train no
    decoder or no encoder."""
    frozen = dict.fromkeys(job.arm.label for job in jobs if job.arm.variant.control and not job.arm.sizes)
    found = []
    for metric, higher in HIGHER.items():

        def of(arm: str, name: str = metric) -> dict[str, dict[int, float | None]]:
            """By topk's name on each truth."""
            return {
                f"{DEFAULT} on {truth}": by_truth(figures[f"{arm} on {truth}"][name])
                for truth in dict.fromkeys(job.truth for job in jobs)
                if name in figures.get(f"{arm} on {truth}", {})
            }

        made = {control: of(DEFAULT, f"{metric}:{control}") for control in (ORACLE, PERMUTED, UNTRAINED)}
        found += beside(metric, of(DEFAULT), made | {arm: of(arm) for arm in frozen}, higher)
    return found


def rows_of_results(figures: Mapping[str, Mapping[str, Values]]) -> list[Row]:
    """Every figure of every SAE and pair; the parameter is the truth's seed."""
    rows = []
    for name, by_metric in figures.items():
        for metric, values in by_metric.items():
            for truth, of in values.items():
                for key, value in of.items():
                    seed, other = key if isinstance(key, tuple) else (key, None)
                    rows.append(Row("synthetic", name, metric, value, truth, seed=seed, other_seed=other))
    return rows


def _judged(
    headline: Headline, figures: Mapping[str, Mapping[str, Values]], jobs: Sequence[Job], truth: str
) -> list[Contrast]:
    comparisons, base = [], f"{DEFAULT} on {truth}"
    for name, arm in {name_of(job): job.arm for job in jobs if job.truth == truth and job.arm.label != DEFAULT}.items():
        a, b = (figures.get(one, {}).get(headline.metric, {}) for one in (name, base))
        sides = _paired(a, b)
        if any(value is not None for side in sides for value in side.values()):
            leads = headline in JUDGED and not (arm.sizes or arm.variant.control)
            comparisons.append(Comparison(name, base, headline.metric, *sides, leads))
    return judge(headline, comparisons)


def _paired(a: Values, b: Values) -> tuple[dict[int, float | None], dict[int, float | None]]:
    """Means per truth over the init seeds that have a figure on both sides."""
    sides: tuple[dict[int, float | None], dict[int, float | None]] = ({}, {})
    for truth in a.keys() & b.keys():
        both = [seed for seed in a[truth] if a[truth][seed] is not None and b[truth].get(seed) is not None]
        for side, of in zip(sides, (a, b), strict=True):
            side[truth] = _mean(of[truth][seed] for seed in both)
    return sides


def _mean(values: Iterable[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return sum(given) / len(given) if given else None
