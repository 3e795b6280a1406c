"""What `faithful study absorption` leaves in its summary.json, beside what every study does, and keeps of each SAE."""

from typing import TypedDict

from studies.absorption.measure import ParentFigures
from studies.common.results import Summary
from studies.statistics.records import Figure, Statistics

Kinds = dict[str, dict[str, ParentFigures]]
"""Of one task, by what was measured (the trained SAE or a control) and parent."""


class AbsorptionCell(TypedDict):
    """Figures of an SAE by task."""

    tasks: dict[str, Kinds]


class TaskProbed(TypedDict):
    """A task: its texts, the F1 of each parent's probe, who is strong and weak, who has too few texts, and how many texts
    are not read, being longer than a context or of special tokens alone."""

    texts: int
    probes: dict[str, float]
    strong: list[str]
    weak: list[str]
    few: list[str]
    unread: int


class AbsorptionStatistics(Statistics, total=False):
    """Of the SAEs of one shape: by task and corpus its figures, those of each strong parent, and the share of each child's
    texts that are absorbed."""

    of_tasks: dict[str, dict[str, dict[str, Figure]]]
    parents: dict[str, dict[str, dict[str, dict[str, Figure]]]]
    children: dict[str, dict[str, dict[str, Figure]]]


class AbsorptionSummary(Summary, AbsorptionStatistics, total=False):
    """All of it."""

    tasks: dict[str, TaskProbed]
