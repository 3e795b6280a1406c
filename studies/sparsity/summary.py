"""What `faithful study sparsity` leaves in its summary.json, beside what every study does, and keeps of each SAE."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Contrast, Figure, Statistics

Overlap = dict[str, float]
"""`c_dec`, `coherence`, `nearest_cosine`, the last two also over the Welch bound."""


class SparsityCell(TypedDict):
    """Of an SAE: its figures by metric, the same overlaps of its untrained start ({} where that is not known), and how many
    latents have each density (`measure.EDGES`)."""

    figures: dict[str, float | None]
    start: Overlap
    histogram: list[int]


class BestK(TypedDict):
    """The k with the smallest c_dec, whether it is the smallest or largest of the grid, and the one that is chosen without
    each seed, by seed: what that seed is scored at."""

    k: int
    at_edge: bool
    without: dict[str, int]


class Axis(TypedDict):
    """SAEs that differ in k alone: figures by metric, k and corpus, contrasts at each k and at each corpus' best."""

    shape: str
    ks: list[int]
    figures: dict[str, dict[str, dict[str, Figure]]]
    best: dict[str, BestK]
    at_k: dict[str, list[Contrast]]
    at_best: list[Contrast]


class SparsityStatistics(Statistics, total=False):
    """Of the SAEs of one shape; mean histogram of the densities by corpus."""

    histograms: dict[str, list[float]]


class SparsitySummary(Summary, SparsityStatistics, total=False):
    """All of it."""

    edges: list[float]
    axes: list[Axis]
