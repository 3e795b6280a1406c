"""`faithful explain`: latents put into words by another model, and judged by these words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from scipy.stats import binomtest

from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.store.saes import TrainedSae, ordered_shapes, seed_numbers
from studies.common.controls import PERMUTED, UNTRAINED, beside, frozen_shapes
from studies.common.examples import write_examples
from studies.common.inputs import StudyInput, resolve_input
from studies.common.panel import Panel, load_panel
from studies.common.results import SUMMARY, Done, ExampleBlock, Row, read_summary, write_results
from studies.explanations import figures as explanations_figures
from studies.explanations.asking import Judgement
from studies.explanations.bench import SHUFFLED, TRAINED, Bench, ExplainedCell
from studies.explanations.config import HEADLINE, ExplanationsConfig, refuse
from studies.explanations.endpoint import Endpoint
from studies.explanations.kept import EXPLANATIONS, scores_of, write_explanations
from studies.explanations.place import address_of
from studies.explanations.score import Score
from studies.explanations.summary import ExplanationsStatistics, ExplanationsSummary
from studies.statistics.verdicts import summarise

EXAMPLES, CONTEXTS = 3, 3
"""Latents in the report of either kind, the best and the worst explained, and contexts of each."""


def study_explanations(config: ExplanationsConfig, report: Reporter = silent) -> Done:
    """Have latents of every SAE explained, and the explanations judged beside their controls.

    Raises:
        FaithfulError: nobody who explains, no latents that fire in enough contexts, and what `resolve_input` and
            `load_panel` refuse.
    """
    refuse(config)
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    with folder_lock(config.out):
        endpoint = Endpoint(address_of(config.endpoint), config.explainer, _explained_before(config))
        bench = Bench(config, found, panel, endpoint)
        cells = bench.cells(config.workers, report)
        shapes = ordered_shapes(found.saes)
        first = next(iter(shapes))
        made = {name: _Shape(found, saes, cells, name == first) for name, saes in shapes.items()}
        frozen = {name: made[shape].explained for name, shape in frozen_shapes(found.saes, first).items()}
        made[first].statistics["beside"] += beside(HEADLINE.metric, made[first].explained, frozen)
        examples = _examples(made[first].names, shapes[first], cells, panel)
        summary: ExplanationsSummary = {
            **found.heading("explanations", config.seed),
            "explainer": endpoint.name,
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "latents": config.latents,
                "shown": config.shown,
                "judged": 2 * config.judged,
                "panel_tokens": panel.tokens,
                "context": found.context,
                **_spent(cells.values()),
            },
            **made[first].statistics,
            "shapes": {shape: one.statistics for shape, one in made.items()},
            "examples": examples,
            "reused": bench.reused,
        }
        write_results(config.out, summary, [row for one in made.values() for row in one.rows()])
        write_examples(config.out / "examples.parquet", examples)
        write_explanations(config.out / EXPLANATIONS, found.saes, cells)
        explanations_figures.draw(summary, config.out / "figures")
    return Done(config.out, summary, bench.reused)


def _explained_before(config: ExplanationsConfig) -> str | None:
    """Who explained in the study that is there."""
    path = config.out / SUMMARY
    summary: Mapping[str, Any] = read_summary(path) if path.exists() else {}
    return summary.get("explainer")


def _share(scores: Sequence[Score]) -> float | None:
    return float(np.mean([one.explained for one in scores])) if scores else None


class _Shape:
    """The study of the SAEs of one shape."""

    def __init__(
        self, found: StudyInput, saes: Sequence[TrainedSae], cells: Mapping[str, ExplainedCell], is_headline: bool
    ) -> None:
        self.saes, self.numbers = saes, seed_numbers(saes)
        self.cells = [cells[sae.sha256] for sae in saes]
        self.scores = {
            by: [scores_of(cell["untrained" if by == UNTRAINED else "trained"], by) for cell in self.cells]
            for by in (TRAINED, SHUFFLED, UNTRAINED)
        }
        self.names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
        self.explained = self._by_corpus([_share(one) for one in self.scores[TRAINED]])
        figures = {
            HEADLINE.metric: self.explained,
            "detection": self._by_corpus([_detection(one) for one in self.scores[TRAINED]]),
            "eligible": self._by_corpus([cell["eligible"] for cell in self.cells]),
        }
        of = {by: self._by_corpus([_share(one) for one in self.scores[by]]) for by in (SHUFFLED, UNTRAINED)}
        of[PERMUTED] = self.explained  # its codes are those of the SAE
        self.statistics: ExplanationsStatistics = {
            **summarise(HEADLINE, figures, found.own, is_headline=is_headline, controls=found.controls),
            "beside": beside(HEADLINE.metric, self.explained, of),
            "detections": {
                name: {
                    by: [
                        one.detection
                        for sae, scores in zip(saes, every, strict=True)
                        if sae.corpus == name
                        for one in scores
                    ]
                    for by, every in self.scores.items()
                }
                for name in self.names
            },
        }

    def _by_corpus(self, values: Sequence[float | None]) -> dict[str, dict[int, float | None]]:
        """Figures of SAEs, by corpus and seed."""
        return {
            name: {
                self.numbers[at]: value
                for at, (sae, value) in enumerate(zip(self.saes, values, strict=True))
                if sae.corpus == name
            }
            for name in self.names
        }

    def rows(self) -> list[Row]:
        """Every figure of every SAE; shares have Wilson's interval over the latents."""
        rows = []
        for at, sae in enumerate(self.saes):
            base = Row("explanations", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
            cell = self.cells[at]
            rows.append(replace(base, metric="eligible", value=cell["eligible"]))
            for by, name in ((TRAINED, ""), (SHUFFLED, "_shuffled"), (UNTRAINED, "_untrained")):
                scores = self.scores[by][at]
                if scores:
                    count = sum(one.explained for one in scores)
                    ends = binomtest(count, len(scores)).proportion_ci(method="wilson")
                    share = replace(base, metric=f"explained{name}", value=count / len(scores))
                    rows.append(replace(share, low=float(ends.low), high=float(ends.high)))
                    rows.append(replace(base, metric=f"detection{name}", value=_detection(scores)))
        return rows


def _detection(scores: Sequence[Score]) -> float | None:
    return float(np.mean([one.detection for one in scores])) if scores else None


def _spent(cells: Iterable[ExplainedCell]) -> dict[str, int]:
    """What was asked for all cells, those answers that several share counted once for each."""
    latents = [one for cell in cells for one in chain(cell["trained"], cell["untrained"])]
    judgements: list[Judgement] = [judged for one in latents for judged in one["judged"].values()]
    said: list[Mapping[str, Any]] = [*(one["explanation"] for one in latents), *judgements]
    return {
        "explanations": len(latents),
        "judgements": len(judgements),
        "answers": sum(one["answers"] for one in judgements),
        "unexplained": sum(not one["explanation"]["text"] for one in latents),
        "unread": sum(one["unread"] for one in judgements),
        "read": sum(one["read"] for one in said),
        "written": sum(one["written"] for one in said),
    }


def _examples(
    names: Sequence[str], saes: Sequence[TrainedSae], cells: Mapping[str, ExplainedCell], panel: Panel
) -> list[ExampleBlock]:
    """Of the first SAE of each corpus the best and the worst explained latents."""
    parts, of_rows = list(panel.parts), panel.part_of_rows()
    blocks = []
    first = {sae.corpus: sae for sae in reversed(saes)}
    for corpus in names:
        sae, latents = first[corpus], cells[first[corpus].sha256]["trained"]
        if not latents:
            continue
        order = sorted(zip(scores_of(latents, TRAINED), latents, strict=True), key=lambda one: -one[0].detection)
        chosen = order[:EXAMPLES] + order[max(EXAMPLES, len(order) - EXAMPLES) :]
        rows: list[Any] = [
            {
                "latent": one["latent"],
                "corpus": parts[of_rows[window["row"]]],
                "tokens": window["tokens"],
                "values": window["values"],
                "note": f"“{one['explanation']['text']}” detection {scored.detection:.2f}, p {scored.p:.2g}",
            }
            for scored, one in chosen
            for window in one["shown"][:CONTEXTS]
        ]
        blocks.append(ExampleBlock(title=f"The best and the worst explained latents of {sae.name}", rows=rows))
    return blocks
