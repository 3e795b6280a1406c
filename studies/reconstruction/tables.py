"""The tables of `faithful study reconstruction`, for the terminal and the report."""

from typing import Any

from studies.common.tables import Table, contrast_tables

METRICS = ("fvu", "ce_diff", "ce_recovered", "kl")


def reconstruction_tables(summary: dict[str, Any]) -> list[Table]:
    """Tables for the terminal and the report: title, header, rows."""
    tables: list[Table] = []
    for metric in METRICS:
        matrix = summary["matrices"][metric]
        places = list(next(iter(matrix.values())))
        rows: list[tuple[str, ...]] = [
            (name, *(_shown(values.get(place)) for place in places)) for name, values in matrix.items()
        ]
        tables.append((f"{metric}: SAEs trained on (row), text of (column)", ("trained on", *places), rows))
    ladder = summary["reduced_k"]
    ks = list(next(iter(ladder.values())))
    rows = [(name, *(_shown(values[k]["ce_recovered"]) for k in ks)) for name, values in ladder.items()]
    tables.append(
        ("ce_recovered on the panel with fewer latents per token", ("trained on", *(f"k {k}" for k in ks)), rows)
    )
    return tables + contrast_tables(summary)


def _shown(value: Any) -> str:
    if value is None or value["value"] is None:
        return "–"
    ends = value["ci95"]
    return f"{value['value']:.4f}" + (f" ± {(ends[1] - ends[0]) / 2:.4f}" if ends else "")
