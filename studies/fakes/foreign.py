"""What fires strongly on one text and hardly on another: an SAE's figures, and what they are over seeds, with verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from studies.common.foreign import RULE, ForeignRule
from studies.common.inputs import RANDOM_TOKENS, StudyInput
from studies.fakes.config import FOREIGN
from studies.fakes.rules import Firing, as_json, resampled_foreign
from studies.fakes.summary import ForeignCell, ForeignStatistics
from studies.statistics.estimates import estimate
from studies.statistics.records import Figure
from studies.statistics.resampled import Resampled
from studies.statistics.verdicts import Comparison, judge

SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
NOISE = RANDOM_TOKENS
"""What stands for them among the texts."""

Figures = dict[int, float | None]


def foreign_cell(noise: Firing, parts: Mapping[str, Firing], corpus: str, *, is_free: bool) -> ForeignCell | None:
    """An SAE's figures; None where its own text is not among the parts.

    Args:
        noise: on random tokens.
        parts: on each part of the panel.
        corpus: that it was trained on.
        is_free: whether the number of its active latents is.
    """
    if corpus not in parts:
        return None
    own, others = parts[corpus], {name: part for name, part in parts.items() if name != corpus}
    stimuli = {NOISE: noise, **others}
    return {
        "strong_own": float((own.strong > RULE.often).mean()),
        "foreign": {name: float(RULE.foreign(own.strong, part.strong).mean()) for name, part in others.items()},
        "foreign_resampled": {name: as_json(resampled_foreign(own, part)) for name, part in others.items()},
        "woken": {name: float(RULE.foreign(one.strong, own.strong).mean()) for name, one in stimuli.items()},
        "woken_resampled": {name: as_json(resampled_foreign(one, own)) for name, one in stimuli.items()},
        "sweep_foreign": {
            name: {
                f"{p:g}": float(ForeignRule(often=p, seldom=p / 10).foreign(own.strong, part.strong).mean())
                for p in SWEEP
            }
            for name, part in others.items()
        },
        "l0_ratio": {name: one.l0 / own.l0 for name, one in stimuli.items()} if is_free and own.l0 else {},
    }


class ForeignFigures:
    """The figures of the SAEs of one shape, by corpus and text.

    Args:
        found: which text is whose.
        cells: of each SAE by corpus and seed; None where its own text is not in the panel.
        contexts: how many there are of each text, `NOISE` among them.
    """

    def __init__(
        self, found: StudyInput, cells: Mapping[str, Mapping[int, ForeignCell | None]], contexts: Mapping[str, int]
    ) -> None:
        self.found, self.cells, self.contexts = found, cells, contexts

    def counterparts(self, corpus: str) -> list[str]:
        """The texts that a corpus is held against: all foreign ones for the own corpus, the own one for the others; where no
        corpus is the own one, every other."""
        if corpus not in self.contexts:
            return []
        own = self.found.own
        texts = self.contexts if own is None else self.found.foreign if corpus == own else (own,)
        return [text for text in texts if text in self.contexts and text not in (corpus, NOISE)]

    def on(self, rule: str, corpus: str, text: str) -> Resampled:
        """`foreign` to a text, or `woken` by it, by seed."""
        cells: Mapping[int, Any] = self.cells[corpus]
        there = {seed: cell for seed, cell in cells.items() if cell is not None and text in cell[rule]}
        figures = {seed: there[seed][rule][text] if seed in there else None for seed in cells}
        draws = {seed: np.array(cell[f"{rule}_resampled"][text], float) for seed, cell in there.items()}
        return Resampled(figures, draws, min(self.contexts[name] for name in (corpus, text)))

    def mean(self, rule: str, corpus: str) -> Resampled | None:
        """The mean over the corpus' counterparts; None where it has none."""
        found = [self.on(rule, corpus, text) for text in self.counterparts(corpus)]
        return Resampled.mean(found) if found else None

    def plain(self, corpus: str, *place: str) -> Figures:
        """What stands at a place of each cell, by seed."""
        found: Figures = {}
        for seed, cell in self.cells[corpus].items():
            value: Any = cell
            for key in place:
                value = None if value is None else value.get(key)
            found[seed] = value
        return found

    def by_metric(self) -> dict[str, dict[str, Figures]]:
        """Figures that are contrasted like all others, by metric and corpus; over several texts the mean."""
        known = [corpus for corpus in self.cells if corpus in self.contexts]
        found: dict[str, dict[str, Figures]] = {
            "strong_own": {corpus: self.plain(corpus, "strong_own") for corpus in known},
            "woken_noise": {corpus: self.on("woken", corpus, NOISE) for corpus in known},
            "woken_text": {corpus: one for corpus in known if (one := self.mean("woken", corpus)) is not None},
            "l0_ratio_noise": {corpus: self.plain(corpus, "l0_ratio", NOISE) for corpus in known},
            "l0_ratio_text": {
                corpus: _mean(self.plain(corpus, "l0_ratio", text) for text in self.counterparts(corpus))
                for corpus in known
            },
        }
        return {
            metric: by_corpus
            for metric, by_corpus in found.items()
            if any(value is not None for of in by_corpus.values() for value in of.values())
        }

    def statistics(self, *, is_headline: bool) -> ForeignStatistics:
        """What is over seeds, text by text, and the verdicts: own − each other corpus, each on the other's text."""
        own, known = self.found.own, [corpus for corpus in self.cells if corpus in self.contexts]
        pairs = combinations(known, 2) if own is None else ((own, name) for name in known if name in self.found.foreign)
        comparisons = [
            Comparison(
                a,
                b,
                FOREIGN.metric,
                self.on("foreign", a, b),
                self.on("foreign", b, a),
                is_headline and own is not None,
            )
            for a, b in pairs
            if a in known
        ]
        texts = sorted(self.contexts.keys() - {NOISE}, key=lambda name: (name != own, name))

        def over(rule: str, among: Sequence[str]) -> dict[str, dict[str, Figure]]:
            return {
                corpus: {text: estimate(self.on(rule, corpus, text)).summary() for text in among if text != corpus}
                for corpus in known
            }

        return {
            "foreign": over("foreign", texts),
            "woken": over("woken", [NOISE, *texts]),
            "sweep_foreign": {
                corpus: {
                    f"{p:g}": estimate(
                        _mean(self.plain(corpus, "sweep_foreign", text, f"{p:g}") for text in self.counterparts(corpus))
                    ).summary()
                    for p in SWEEP
                }
                for corpus in known
                if self.counterparts(corpus)
            },
            "contrasts": judge(FOREIGN, comparisons),
        }


def _mean(several: Iterable[Figures]) -> Figures:
    """Seed by seed, of the seeds that have all."""
    of = list(several)
    seeds = [seed for seed in (of[0] if of else ()) if all(one.get(seed) is not None for one in of)]
    return {seed: float(np.mean([one[seed] for one in of])) for seed in seeds}
