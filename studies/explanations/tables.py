"""The tables of `faithful explain`."""

from studies.common.tables import Table, cell, contrast_tables
from studies.explanations.config import LEVEL
from studies.explanations.summary import ExplanationsSummary

ASKED = ("explanations", "unexplained", "judgements", "unread", "read", "written")
METRICS = ("explained", "detection", "eligible")


def explanations_tables(summary: ExplanationsSummary) -> list[Table]:
    """All tables of the study."""
    sizes = summary["sizes"]
    rows: list[tuple[str, ...]] = [
        (name, *(cell(of[metric]) for metric in METRICS)) for name, of in summary["corpora"].items()
    ]
    title = (
        f"Latents that {summary['explainer']} explains better than chance (p < {LEVEL:g}), {sizes['latents']} of each SAE;"
        " eligible: the share of all latents that fire, and are silent, in enough contexts"
    )
    spent = Table(
        "What was asked",
        ("explanations", "empty", "judgements", "answers that cannot be read", "tokens read", "tokens written"),
        [tuple(f"{sizes[name]:,}" for name in ASKED)],
    )
    return [Table(title, ("SAEs of", *METRICS), rows), spent, *contrast_tables(summary)]
