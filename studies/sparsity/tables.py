"""The tables of `faithful study sparsity`."""

from typing import Any

from studies.common.tables import Table, contrast_tables, plus_minus
from studies.sparsity.summary import SparsitySummary
from studies.statistics.numbers import NONE, fixed, span

OVERLAP = ("c_dec", "coherence", "coherence_over_welch", "nearest_cosine", "nearest_cosine_over_welch")
FIRING = ("l0", "l0_noise_ratio", "silent_share", "log_density_5", "log_density_50", "log_density_95")


def sparsity_tables(summary: SparsitySummary) -> list[Table]:
    """All tables of the study."""
    tables = []
    for title, metrics in (
        ("How decoder rows overlap, 95 % interval over seeds", OVERLAP),
        ("How latents fire on the panel; densities as log10, of the latents that fire", FIRING),
    ):
        shown = [metric for metric in metrics if any(metric in of for of in summary["corpora"].values())]
        rows = [(name, *(_cell(of.get(one)) for one in shown)) for name, of in summary["corpora"].items()]
        tables.append(Table(title, ("corpus", *shown), rows))
    for axis in summary["axes"]:
        best = axis["best"]
        rows = [
            (
                name,
                *(
                    _cell(axis["figures"]["c_dec"][str(k)][name]) + (" *" if k == best[name]["k"] else "")
                    for k in axis["ks"]
                ),
            )
            for name in best
        ]
        tables.append(
            Table(
                f"c_dec at each k of {axis['shape']}; * the smallest", ("corpus", *map("k {}".format, axis["ks"])), rows
            )
        )
        header = ("corpora", "metric", "k", "difference", "95 % interval")
        if axis["at_best"]:
            rows = [_contrast(one, f"{best[one['a']]['k']}, {best[one['b']]['k']}") for one in axis["at_best"]]
            tables.append(Table("Each corpus at its own best k (exploratory)", header, rows))
            rows = [_contrast(one, k) for k, entries in axis["at_k"].items() for one in entries]
            tables.append(Table("At every k (exploratory)", header, rows))
    return tables + contrast_tables(summary)


def _cell(figure: Any) -> str:
    return plus_minus(figure["value"], figure["ci95"]) if figure else NONE


def _contrast(one: Any, k: str) -> tuple[str, ...]:
    return (f"{one['a']} − {one['b']}", one["metric"], k, fixed(one["difference"], sign=True), span(one["ci95"], 4))
