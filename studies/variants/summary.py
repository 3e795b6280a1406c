"""What `faithful study variants` leaves in its summary.json, beside what every study does."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Measures


class GroupFigures(TypedDict):
    """Figures of each variant of one corpus, hook, width and k.

    `shape` is TopK's; `same` are variants whose SAEs came out as TopK's.
    """

    corpus: str
    shape: str
    variants: dict[str, Measures]
    same: list[str]


class VariantsSummary(Summary, total=False):
    """`corpora` holds the figures of the family's variants by their names, `frozen` which of them are controls; all are in
    `groups`. `left_out` says why nothing is taken of a study, in a word of `studies.variants.config.WHY`."""

    frozen: list[str]
    groups: list[GroupFigures]
    left_out: dict[str, str]
