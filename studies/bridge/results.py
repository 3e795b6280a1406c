"""What SAEBench and sae-probes wrote, as rows like those of every study, and as tables."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from faithful.store.saes import TrainedSae
from studies.bridge.outside import Found
from studies.common.results import Row
from studies.common.tables import Table

OF_K = re.compile(r"(.*)_top_(\d+)_test_(\w+)")
NAMES = ("dataset_name", "first_letter")
MAIN = (
    "core:ce_loss_without_sae", "core:ce_loss_with_sae", "core:ce_loss_score", "core:kl_div_with_sae",
    "core:explained_variance", "core:l0", "sparse_probing:sae", "sparse_probing:sae_top", "sparse_probing:llm_top",
    "absorption:mean_full_absorption_score", "absorption:mean_absorption_fraction_score", "sae_probes:test_acc",
    "sae_probes:test_auc",
)  # fmt: skip
"""Metrics that tables show, each over SAEs; all stand in results.parquet."""


def rows_of(study: str, evaluation: str, sae: TrainedSae, found: Found) -> list[Row]:
    """Every figure that an evaluation wrote of an SAE.

    Names are `EVALUATION:FIGURE`, of a data set or letter `EVALUATION:FIGURE:NAME`, in the words of SAEBench; the parameter
    is k. Figures of single latents, which `core` writes too, are left to its JSON.

    Args:
        study: `saebench` or `sae-probes`.
        evaluation: its name.
        sae: whose figures they are.
        found: what `studies.bridge.outside.evaluate_outside` gave.
    """
    base = Row(study, sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
    figures = _of_sets(found) if evaluation == "sae_probes" else _of_saebench(found)
    rows = []
    for name, of, k, value in figures:
        metric = ":".join(filter(None, (evaluation, name, of)))
        rows.append(replace(base, metric=metric, parameter=k, value=value))
    return rows


Figure = tuple[str, str, float | None, float | None]
"""Name, data set or letter, k, value."""


def _of_saebench(found: Found) -> Iterator[Figure]:
    for of_category in found["eval_result_metrics"].values():
        yield from _named(of_category, "")
    for detail in found["eval_result_details"]:
        key = next((key for key in NAMES if key in detail), None)
        if key is not None:
            yield from _named(detail, str(detail[key]).removesuffix("_results"))


def _named(figures: Mapping[str, Any], of: str) -> Iterator[Figure]:
    for name, value in figures.items():
        if isinstance(value, int | float):
            split = OF_K.fullmatch(name)
            yield (f"{split[1]}_top", of, float(split[2]), _real(value)) if split else (
                name.removesuffix("_test_accuracy"), of, None, _real(value),
            )  # fmt: skip


def _of_sets(found: Found) -> Iterator[Figure]:
    """Of each set and, over all, their mean."""
    sums: dict[tuple[str, float], list[float]] = {}
    for entries in found.values():
        for entry in entries:
            for name in ("test_acc", "test_auc", "test_f1"):
                value = _real(entry[name])
                yield name, str(entry["dataset"]), float(entry["k"]), value
                sums.setdefault((name, float(entry["k"])), []).append(math.nan if value is None else value)
    for (name, k), values in sums.items():
        yield name, "", k, _real(sum(values) / len(values))


def _real(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def bridge_table(rows: list[Row]) -> Table:
    """The main figures of each corpus: mean over its SAEs."""
    names = list(dict.fromkeys(row.corpus for row in rows))
    lines: dict[tuple[str, float | None], dict[str, list[float]]] = {}
    for row in rows:
        if row.metric in MAIN and row.value is not None:
            lines.setdefault((row.metric, row.parameter), {}).setdefault(row.corpus, []).append(row.value)
    order = sorted(lines, key=lambda line: (MAIN.index(line[0]), line[1] or 0))
    body = [
        (
            metric if k is None else f"{metric}, k {k:g}",
            *(f"{sum(of) / len(of):.4f}" if (of := lines[metric, k].get(name)) else "–" for name in names),
        )
        for metric, k in order
    ]
    return Table("What other packages' evaluations say: mean over SAEs", ("figure", *names), body)
