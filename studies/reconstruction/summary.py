"""What `faithful study reconstruction` leaves in its summary.json, beside what every study does, and keeps of each SAE."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Figure, Statistics

Matrix = dict[str, dict[str, Figure]]
"""By training corpus (row) and text or k (column)."""


class ReconstructionStatistics(Statistics, total=False):
    """Of the SAEs of one shape: metrics by training corpus and text, and on the panel by training corpus, k and metric."""

    matrices: dict[str, Matrix]
    reduced_k: dict[str, Matrix]


class ReconstructionSummary(Summary, ReconstructionStatistics, total=False):
    """All of it."""


class RebuiltCell(TypedDict):
    """Figures of an SAE by text, k and metric, and its losses context by context, by part of the panel, k and loss."""

    figures: dict[str, dict[str, dict[str, float | None]]]
    contexts: dict[str, dict[str, dict[str, list[float]]]]
