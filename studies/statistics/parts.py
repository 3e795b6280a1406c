"""Figures of a headline metric on parts of the panel, or on tasks, and what they are on matched and on foreign text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.statistics.estimates import Figures
from studies.statistics.headlines import FOREIGN, MATCHED
from studies.statistics.resampled import Resampled


@dataclass(frozen=True)
class Parts:
    """Figures of the headline metric on parts of the panel, or on tasks.

    Attributes:
        figures: by part and corpus.
        matched: the parts that are text of the own corpus.
        foreign: the parts that are text of other corpora, and none of own text in another form.
    """

    figures: Mapping[str, Mapping[str, Figures]]
    matched: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def on_texts(self, metric: str) -> dict[str, tuple[str, tuple[str, ...], dict[str, Figures]]]:
        """The headline figures by name: the text's name, its parts, and by corpus the mean over these parts alike."""
        found = {}
        for text, names in ((MATCHED, self.matched), (FOREIGN, self.foreign)):
            if names:
                corpora = self.figures[names[0]]
                figures = {corpus: _mean([self.figures[name][corpus] for name in names]) for corpus in corpora}
                found[f"{metric}_{text}"] = (text, names, figures)
        return found


def _mean(several: Sequence[Figures]) -> Figures:
    if all(isinstance(one, Resampled) for one in several):
        return Resampled.mean([one for one in several if isinstance(one, Resampled)])
    plain: list[Mapping[Any, float | None]] = list(several)
    found: dict[Any, float | None] = {}
    for key in plain[0]:
        values = [one.get(key) for one in plain]
        given = [value for value in values if value is not None]
        found[key] = float(np.mean(given)) if len(given) == len(plain) else None
    return found
