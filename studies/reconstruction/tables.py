"""The tables of `faithful study reconstruction`, for the terminal and the report."""

from collections.abc import Mapping
from typing import Any

from studies.common.tables import Table, contrast_tables, plus_minus
from studies.reconstruction.summary import ReconstructionSummary

METRICS = ("fvu", "ce_diff", "ce_recovered", "kl")


def reconstruction_tables(summary: ReconstructionSummary) -> list[Table]:
    """All tables of the study."""
    tables: list[Table] = []
    for metric in METRICS:
        matrix = summary["matrices"][metric]
        places = list(next(iter(matrix.values())))
        rows: list[tuple[str, ...]] = [
            (name, *(_shown(values.get(place, {})) for place in places)) for name, values in matrix.items()
        ]
        tables.append(Table(f"{metric}: SAEs trained on (row), text of (column)", ("trained on", *places), rows))
    ladder = summary["reduced_k"]
    ks = list(next(iter(ladder.values())))
    rows = [(name, *(_shown(values[k]["ce_recovered"]) for k in ks)) for name, values in ladder.items()]
    title = "ce_recovered on the panel with fewer latents per token"
    tables.append(Table(title, ("trained on", *(f"k {k}" for k in ks)), rows))
    return tables + contrast_tables(summary)


def _shown(figure: Mapping[str, Any]) -> str:
    return plus_minus(figure.get("value"), figure.get("ci95"))
