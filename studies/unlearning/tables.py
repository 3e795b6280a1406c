"""The tables of `faithful study unlearning`."""

from studies.common.tables import Table, cell, contrast_tables
from studies.unlearning.summary import UnlearningSummary

METRICS = ("unlearned", "forget_lost", "retain_lost", "best_of_all")


def unlearning_tables(summary: UnlearningSummary) -> list[Table]:
    """All tables of the study."""
    corpora = summary["corpora"]
    sides: list[tuple[str, ...]] = [
        (side, one["corpus"], one["questions"], f"{one['count']:,}", f"{one['accuracy']:.1%}", f"{one['chance']:.1%}")
        for side, one in summary["sides"].items()
    ]
    rows: list[tuple[str, ...]] = [(name, *(cell(of[metric]) for metric in METRICS)) for name, of in corpora.items()]
    tables = [
        Table(
            "What is asked, and what the model answers as it is",
            ("side", "corpus", "questions", "count", "right answers", "by chance"),
            sides,
        ),
        Table(
            "Accuracy lost by clamping; chosen on one half of the questions and scored on the other, but best_of_all",
            ("SAEs of", *METRICS),
            rows,
        ),
    ]
    for name, curve in summary["curves"].items():
        header = ("retain density at most", "latents", "multiplier", "forget lost", "retain lost", "chosen")
        lines: list[tuple[str, ...]] = [
            (
                f"{one['threshold']:g}", f"{one['latents']}", f"{one['multiplier']:g}", cell(one["forget_lost"]),
                cell(one["retain_lost"]), f"{one['chosen']:.0%}",
            )
            for one in curve
        ]  # fmt: skip
        tables.append(Table(f"Every setting on all questions, SAEs of {name}", header, lines))
    return tables + contrast_tables(summary)
