"""What `faithful study unlearning` leaves in its summary.json, beside what every study does."""

from typing import Any, TypedDict

from studies.common.results import Summary
from studies.statistics.records import Statistics


class SideFound(TypedDict):
    """One side: its corpus and questions, and the accuracy of the model as it is beside guessing."""

    corpus: str
    questions: str
    count: int
    accuracy: float
    chance: float
    at_chance: bool
    sha256: str


class UnlearningStatistics(Statistics, total=False):
    """Of the SAEs of one shape; `curves` by corpus, a setting each with what is lost on both sides and how often it was
    chosen."""

    curves: dict[str, list[dict[str, Any]]]


class UnlearningSummary(Summary, UnlearningStatistics, total=False):
    """All of it."""

    sides: dict[str, SideFound]
    settings: list[dict[str, Any]]
