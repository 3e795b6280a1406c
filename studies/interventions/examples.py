"""Texts with two binary labels: of the embedded Python code, or of any table."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from studies.interventions.config import HINT, table_of
from studies.probes.tasks.embedded import RULES, EmbeddedText
from studies.probes.tasks.examples import Draw, is_for_test, priority, text_hash
from studies.probes.tasks.rows import rows_of
from studies.probes.tasks.task import find_task

EMBEDDED_PAIR = ("tests", "comment")


@dataclass(frozen=True)
class PairData:
    """Texts with two binary labels.

    Attributes:
        name: of the pair.
        labels: names of the two labels.
        texts: all of them.
        values: int64 [texts, 2], 0 or 1.
        is_test: bool [texts]; the others are trained on.
    """

    name: str
    labels: tuple[str, str]
    texts: list[str]
    values: np.ndarray
    is_test: np.ndarray

    @property
    def crossing(self) -> np.ndarray:
        """Which of the four crossings a text is of, int64 [texts]."""
        return 2 * self.values[:, 0] + self.values[:, 1]

    def balanced(self, test: bool) -> np.ndarray:
        """Places of equally many texts of each crossing, int64."""
        members = [np.flatnonzero((self.crossing == one) & (self.is_test == test)) for one in range(4)]
        least = min(map(len, members))
        return np.concatenate([one[:least] for one in members])

    def biased(self) -> np.ndarray:
        """Places of training texts whose labels agree, equally many of both kinds, int64."""
        members = [np.flatnonzero((self.crossing == one) & ~self.is_test) for one in (0, 3)]
        least = min(map(len, members))
        return np.concatenate([one[:least] for one in members])


def load_pair(wish: str | None, train: int, test: int, seed: int, embedded: EmbeddedText) -> PairData:
    """Draw the texts of a pair, at most `train` and `test` of each crossing, twice as many where the labels agree.

    A text comes once, and not at all where its rows have different labels.

    Raises:
        FaithfulError: a table that cannot be read, a label with other than two values, a crossing of few texts.
    """
    if wish is None:
        rules = [RULES[name] for name in EMBEDDED_PAIR]
        found = [
            (one.shown, one.group, *(str(bool(rule(one))) for rule in rules)) for one in embedded.excerpts("stdlib")
        ]
        name, labels = (
            "+".join(EMBEDDED_PAIR),
            (find_task(EMBEDDED_PAIR[0]).labels[1], find_task(EMBEDDED_PAIR[1]).labels[1]),
        )
    else:
        place, columns = table_of(wish)
        rows = rows_of(place, columns, HINT)
        found = [tuple(_plain(row[column]) for column in (columns[0], columns[0], *columns[1:])) for row in rows]
        name, labels = place, (columns[1], columns[2])
    return _drawn(name, labels, found, Draw(train, test, seed, 2))


def _plain(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _drawn(name: str, labels: tuple[str, str], found: Iterable[tuple[str, ...]], draw: Draw) -> PairData:
    found = list(found)
    for text, _, *values in found:
        if text.strip() and any(values) and not all(values):
            missing = labels[values.index("")]
            raise FaithfulError(
                f"{name} has a text with one label and none in '{missing}'; fill it in, or leave the row out."
            )
    whole = [
        (text_hash(text), text, group, tuple(values)) for text, group, *values in found if text.strip() and all(values)
    ]
    labelled = Counter(origin for origin, _ in {(origin, values) for origin, _, _, values in whole})
    distinct = {origin: (text, group, values) for origin, text, group, values in whole if labelled[origin] == 1}
    classes = [sorted({values[at] for _, _, values in distinct.values()}) for at in range(2)]
    for label, of in zip(labels, classes, strict=True):
        if len(of) != 2:
            raise FaithfulError(
                f"The label {label} of {name} has {len(of)} value{'s' * (len(of) != 1)} and SCR needs two; take another one."
            )
    taken: dict[tuple[bool, int], list[tuple[str, list[int]]]] = {}
    for origin in sorted(distinct, key=lambda one: priority(one, draw.seed)):
        text, group, of_text = distinct[origin]
        bits = [classes[at].index(of_text[at]) for at in range(2)]
        side = is_for_test(group if group != text else origin, draw)
        here = taken.setdefault((side, 2 * bits[0] + bits[1]), [])
        most = draw.test if side else draw.train * (2 if bits[0] == bits[1] else 1)
        if len(here) < most:
            here.append((text, bits))
    for side, crossing in ((side, crossing) for side in (False, True) for crossing in range(4)):
        count = len(taken.get((side, crossing), ()))
        if count < 8:
            which = " and ".join(
                f"{label} {of[crossing >> 1 - at & 1]}"
                for at, (label, of) in enumerate(zip(labels, classes, strict=True))
            )
            raise FaithfulError(
                f"{name} has {count} {'test' if side else 'training'} texts with {which}, and SCR needs at least 8 of each"
                " crossing; give more texts."
            )
    every = [(text, bits, side) for (side, _), members in sorted(taken.items()) for text, bits in members]
    return PairData(
        name, labels, [text for text, _, _ in every], np.array([bits for _, bits, _ in every]),
        np.array([side for _, _, side in every]),
    )  # fmt: skip
