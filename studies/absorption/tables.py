"""The tables of `faithful study absorption`."""

from studies.absorption.summary import AbsorptionSummary
from studies.common.tables import Table, cell, contrast_tables, plus_minus

SHOWN = {
    "full_absorption": "full absorption", "absorption_fraction_032": "fraction (0.3.2)",
    "absorption_fraction_060": "fraction (0.6.0)", "main_silent": "latents silent", "split_latents": "split latents",
    "main_f1": "F1 of the latents",
}  # fmt: skip


def absorption_tables(summary: AbsorptionSummary) -> list[Table]:
    """All tables of the study."""
    tables = []
    for name, task in summary["tasks"].items():
        by_corpus = summary["of_tasks"][name]
        rows = [
            (corpus, *(plus_minus(of[one]["value"], of[one]["ci95"]) if one in of else "–" for one in SHOWN))
            for corpus, of in by_corpus.items()
        ]
        parents = f"{len(task['strong'])} of {len(task['probes'])} parents, {task['texts']:,} texts"
        title = f"{name}: {parents}; fraction: absorption_fraction of that version of sae-bench"
        scores: list[tuple[str, ...]] = [
            (one, cell(task["probes"][one], 3)) for one in sorted(task["probes"], key=lambda one: -task["probes"][one])
        ]
        if task["strong"]:
            tables.append(Table(title, ("corpus", *SHOWN.values()), rows))
        elif scores:
            tables.append(Table(f"{name}: F1 of probes on the activations", ("parent", "F1"), scores))
        if task["strong"]:
            tables.append(
                Table(f"Each parent of {name}", ("parent", "F1 of the probe", *by_corpus), _parents(summary, name))
            )
        children = summary["children"][name]
        if children:
            names = list(by_corpus)
            rows = [(child, *(cell(of.get(one, {}), 3) for one in names)) for child, of in children.items()]
            tables.append(
                Table(f"Share of the texts of each child that are absorbed: {name}", ("parent: child", *names), rows)
            )
    return tables + contrast_tables(summary)


def _parents(summary: AbsorptionSummary, task: str) -> list[tuple[str, ...]]:
    scores, names = summary["tasks"][task]["probes"], list(summary["of_tasks"][task])
    return [
        (
            parent,
            cell(scores[parent], 3),
            *(cell(of[name]["full_absorption"], 3) if name in of else "–" for name in names),
        )
        for parent, of in summary["parents"][task].items()
    ]
