"""What `faithful study interventions` leaves in its summary.json, beside what every study does."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Statistics


class Asked(TypedDict):
    """The labels of SCR and the classes of TPP, with the accuracies of their probes on the activations; `fooled` are those of
    the probe that was trained where the labels agree."""

    pair: str
    labels: list[str]
    accuracies: list[float]
    fooled: list[float]
    task: str
    class_accuracies: list[float]


class InterventionsSummary(Summary, Statistics, total=False):
    """All of it."""

    asked: Asked
