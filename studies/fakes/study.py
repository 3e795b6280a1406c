"""`faithful study fakes`: latents that fire on random tokens and not on text, with every control beside them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, remark, silent
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.common.controls import PERMUTED, UNTRAINED, beside, frozen_shapes
from studies.common.examples import write_examples
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel, noise_rows
from studies.common.results import Done, Row, write_results
from studies.fakes import figures as fakes_figures
from studies.fakes.config import FOREIGN, HEADLINE, NOISE_CONTEXTS, FakesConfig, noise_tokens, rule_of
from studies.fakes.counts import UNTRAINED as BEGUN
from studies.fakes.counts import FakeCounts
from studies.fakes.foreign import NOISE, ForeignFigures
from studies.fakes.rules import interval, latents_of
from studies.fakes.summary import FakeCell, FakesStatistics, FakesSummary, ForeignCell, Sweeps
from studies.statistics.estimates import estimate
from studies.statistics.latents import LATENTS, write_latents
from studies.statistics.parts import Parts
from studies.statistics.records import Beside, Figure
from studies.statistics.resampled import Resampled
from studies.statistics.verdicts import summarise

TEXT_TOKENS, RANDOM_TOKENS = 10_000, 64_000
"""Tokens of a text and of noise that leave about the margin of `fake_contrast` open: a latent that is silent on text fires on
less than one in a thousand of its tokens, which fewer cannot tell."""


def study_fakes(config: FakesConfig, report: Reporter = silent) -> Done:
    """Count fake latents of every SAE by every rule, on random tokens and on every control.

    One forward pass per text serves all SAEs. What it gave is kept at once, so that a killed study goes on with the next
    text; an SAE's counts are kept by its hash. That no more than L0/p latents can be denser than p is checked on the counts
    themselves. The headline is `fake_contrast` on matched and on foreign text (`studies.statistics.headlines`). The
    intervals of the rules are over the seeds and over the contexts of random tokens and of text, the same resample of which
    serves every SAE; those of controls and sweeps are over the seeds alone.

    Raises:
        FaithfulError: fewer random tokens than a context holds, a share or quantile that is none, and what `resolve_input`
            and `load_panel` refuse.
    """
    rule = rule_of(config)
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    wanted = config.noise_tokens or noise_tokens(found.device, found.context)
    if wanted < found.context:
        raise FaithfulError(
            f"{wanted:,} random tokens do not fill a context of {found.context}; give more noise_tokens."
        )
    noise = noise_rows(found.spec, max(1, wanted // (found.context - 1)), found.context, config.seed)
    if warning := fakes_leave_open(found, panel.tokens, len(noise) * (found.context - 1)):
        report(remark(warning))
    with folder_lock(config.out):
        counts = FakeCounts(found, panel, noise, config.seed, config.out / "cells", rule)
        cells = counts.cells(config.workers, report)
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        shapes = {name: _summary(found, panel, len(noise), saes, cells, name == first) for name, saes in groups.items()}
        examples = counts.examples(groups[first], cells, config.examples)
        summary: FakesSummary = {
            **found.heading("fakes", config.seed),
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "noise_tokens": len(noise) * (found.context - 1),
                "noise_contexts": len(noise),
                "fake_notes_contexts": min(len(noise), NOISE_CONTEXTS),
                "panel_tokens": panel.tokens,
                "foreign_quantile": rule.quantile,
                "foreign_share": rule.share,
                "context": found.context,
                "layout": found.layout,
            },
            **shapes[first],
            "beside": _beside(found, groups, cells),
            "shapes": {**shapes},
            "examples": examples,
        }
        write_results(config.out, summary, _rows(found, cells))
        write_examples(config.out / "examples.parquet", examples)
        write_latents(config.out / LATENTS, {sae: latents_of(cell["densities"]) for sae, cell in cells.items()})
        drawn = {sae.corpus: cells[sae.sha256] for sae in reversed(groups[first])}
        fakes_figures.draw(summary, drawn, config.out / "figures")
    return Done(config.out, summary, counts.reused)


def fakes_leave_open(found: StudyInput, tokens: Mapping[str, int], noise: int) -> str | None:
    """What to say before fakes are counted on so many tokens of each part and of noise; None where these can resolve the
    margin."""
    if not tokens:
        return None
    of_text, of_noise = TEXT_TOKENS / min(tokens.values()), RANDOM_TOKENS / noise
    wanted = [f"--tokens {math.ceil(TEXT_TOKENS * len(tokens) / 1000)}k"] if of_text > 1 else []
    wanted += [f"--set noise_tokens={RANDOM_TOKENS}"] if of_noise > 1 else []
    return found.leaves_open(HEADLINE, HEADLINE.margin * max(of_text, of_noise), " ".join(wanted))


def _values(
    names: Sequence[str], saes: Sequence[TrainedSae], cells: dict[str, FakeCell], *place: str
) -> dict[str, dict[int, float | None]]:
    """What stands at a place of the cell of each SAE, by corpus and seed; corpora in the order of their names."""
    found: dict[str, dict[int, float | None]] = {name: {} for name in names if any(sae.corpus == name for sae in saes)}
    for sae, seed in zip(saes, seed_numbers(saes), strict=True):
        value: Any = cells[sae.sha256]
        for key in place:
            value = value[key]
        found[sae.corpus][seed] = value
    return found


def _beside(found: StudyInput, groups: Mapping[str, Sequence[TrainedSae]], cells: dict[str, FakeCell]) -> list[Beside]:
    """Fake features of the SAEs of the first shape beside those of their controls; a permuted decoder has the same codes."""
    (first, saes), *_ = groups.items()

    def of(some: Sequence[TrainedSae], metric: str = HEADLINE.metric) -> dict[str, dict[int, float | None]]:
        return _values(found.names, some, cells, "figures", metric)

    controls = {PERMUTED: of(saes), UNTRAINED: of(saes, f"{HEADLINE.metric}_{BEGUN}")}
    controls |= {name: of(groups[one]) for name, one in frozen_shapes(found.saes, first).items()}
    return beside(HEADLINE.metric, of(saes), controls, higher=False)


def _summary(
    found: StudyInput,
    panel: Panel,
    noise_contexts: int,
    saes: Sequence[TrainedSae],
    cells: dict[str, FakeCell],
    is_headline: bool,
) -> FakesStatistics:
    """Statistics and sweeps of one shape."""
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
    of = partial(_values, names, saes, cells)

    def means(*place: str) -> dict[str, Figure]:
        return {name: estimate(figures).summary() for name, figures in of(*place).items()}

    def resampled(figures: dict[str, dict[int, float | None]], *place: str, rows: int) -> dict[str, Resampled]:
        """Figures with what they become under resamples of the contexts."""
        draws: Any = of(*place)
        units = min(noise_contexts, rows)
        return {
            name: Resampled(figures[name], {seed: np.array(one, float) for seed, one in draws[name].items()}, units)
            for name in names
        }

    first = cells[saes[0].sha256]
    rows = {name: len(part) for name, part in panel.parts.items()}
    figures: dict[str, Any] = {metric: of("figures", metric) for metric in first["figures"]}
    figures |= {
        metric: resampled(figures[metric], "resampled", metric, rows=sum(rows.values()))
        for metric in first["resampled"]
    }
    kept: Any = of("foreign")
    foreign = ForeignFigures(found, kept, {NOISE: noise_contexts, **rows})
    figures |= foreign.by_metric()
    parts = {part: resampled(of("parts", part), "parts_resampled", part, rows=rows[part]) for part in panel.parts}
    statistics = summarise(
        HEADLINE, figures, found.own, Parts(parts, found.matched, found.foreign), panel.positions(names, found.context),
        is_headline=is_headline, controls=found.controls,
    )  # fmt: skip
    for name, of_corpus in statistics["corpora"].items():
        if (mean := foreign.mean("foreign", name)) is not None:
            of_corpus[FOREIGN.metric] = estimate(mean).summary()
    sweeps = _sweeps(names, means, first)
    return {**statistics, "sweeps": sweeps, "foreign": foreign.statistics(is_headline=is_headline)}


def _sweeps(names: Sequence[str], means: Callable[..., dict[str, Figure]], first: FakeCell) -> Sweeps:
    """Means over the rules' thresholds, which are those of the first cell."""
    over_p = {sweep: {p: means(sweep, p) for p in first[sweep]} for sweep in ("sweep_contrast", "sweep_density")}
    over_tau = {tau: {p: means("sweep_tau", tau, p) for p in by_p} for tau, by_p in first["sweep_tau"].items()}
    found: Any = {
        sweep: {name: {p: by_name[name] for p, by_name in values.items()} for name in names}
        for sweep, values in over_p.items()
    }
    by_tau = {
        name: {tau: {p: by_name[name] for p, by_name in values.items()} for tau, values in over_tau.items()}
        for name in names
    }
    found |= {"sweep_tau": by_tau, "silent_on_panel": means("silent_on_panel")}
    return cast(Sweeps, found)


def _rows(found: StudyInput, cells: dict[str, FakeCell]) -> list[Row]:
    """Every figure of every SAE; the parameter is p, or the share of tokens for `fake_code` under a threshold."""
    rows = []
    for sae in found.saes:
        cell = cells[sae.sha256]
        base = Row("fakes", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        for metric, value in cell["figures"].items():
            drawn = cell["resampled"].get(metric)
            low, high = (None, None) if drawn is None else interval(drawn)
            rows.append(replace(base, metric=metric, value=value, low=low, high=high))
        single = {
            "l0_noise": cell["l0_noise"],
            "l0_panel": cell["l0_panel"],
            "silent_on_panel": cell["silent_on_panel"],
        }
        rows += [replace(base, metric=metric, value=value) for metric, value in single.items()]
        rows += [
            replace(base, metric="fake_contrast", value=value, other=part) for part, value in cell["parts"].items()
        ]
        for metric, over_p in (("fake_contrast", cell["sweep_contrast"]), ("fake_density", cell["sweep_density"])):
            rows += [replace(base, metric=metric, value=value, parameter=float(p)) for p, value in over_p.items()]
        for threshold, by_share in cell["sweep_tau"].items():
            rows += [
                replace(base, metric=f"fake_code_above_{threshold}", value=value, parameter=float(share))
                for share, value in by_share.items()
            ]
        rows += _foreign_rows(base, cell["foreign"])
    return rows


def _foreign_rows(base: Row, cell: ForeignCell | None) -> list[Row]:
    """What of an SAE fires strongly, text by text; the parameter is p."""
    if cell is None:
        return []
    rows = [replace(base, metric="strong_own", value=cell["strong_own"])]
    kinds: Any = (
        ("foreign_text", cell["foreign"], cell["foreign_resampled"]),
        ("woken_text", cell["woken"], cell["woken_resampled"]),
        ("l0_ratio_text", cell["l0_ratio"], {}),
    )
    for metric, by_text, drawn in kinds:
        for text, value in by_text.items():
            low, high = interval(drawn[text]) if text in drawn else (None, None)
            of = (metric.replace("text", "noise"), None) if text == NOISE else (metric, text)
            rows.append(replace(base, metric=of[0], value=value, low=low, high=high, other=of[1]))
    return rows + [
        replace(base, metric="foreign_text", value=value, parameter=float(p), other=text)
        for text, over_p in cell["sweep_foreign"].items()
        for p, value in over_p.items()
    ]
