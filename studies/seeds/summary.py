"""What `faithful study seeds` leaves in its summary.json, beside what every study does."""

from typing import NotRequired, TypedDict

from studies.common.results import Summary
from studies.statistics.records import Figure, Measures, Statistics

PairFigures = dict[str, float | list[float] | None]
"""Of two SAEs matched, by metric: `sfr_curve` is a list, see `studies.seeds.matching.curve_of`, all others are numbers."""

Floors = dict[str, dict[str, PairFigures]]
"""By corpus and floor the figures of a pair, means over the `pairs` drawn."""


class Ranged(Figure):
    """A figure without an interval: the `range` is its smallest and largest of an SAE."""

    range: NotRequired[list[float]]


class Bin(TypedDict):
    """Latents that fire as often: the upper edge of their density, how probably they reappear, how many an SAE has."""

    density: float
    value: float
    latents: float


class Assignments(TypedDict):
    """How the optimal assignments were found: how many by each path, and by how much another one could be better."""

    paths: dict[str, int]
    largest_gap: float | None


class SeedsStatistics(Statistics, total=False):
    """Of the SAEs of one shape; `across` by the names of two corpora, `stability` by corpus."""

    across: dict[str, Measures]
    floors: Floors
    floors_missing: dict[str, list[str]]
    stability: dict[str, Measures]


class SeedsSummary(Summary, SeedsStatistics, total=False):
    """All of it; `between_shapes` by corpora and shapes."""

    between_shapes: dict[str, Measures]
    not_compared: list[list[str]]
    assignments: Assignments
