"""What `faithful explain` leaves in its summary.json, beside what every study does."""

from studies.common.results import Summary
from studies.statistics.records import Statistics


class ExplanationsStatistics(Statistics, total=False):
    """Of the SAEs of one shape; `detections` by corpus, then by what judged them: of every latent, in order."""

    detections: dict[str, dict[str, list[float]]]


class ExplanationsSummary(Summary, ExplanationsStatistics, total=False):
    """All of it; `explainer` is the model that explained and judged."""

    explainer: str
