"""The tables of `faithful study variants`, for the terminal and the report."""

from studies.common.tables import Table, plus_minus, sizes
from studies.statistics.numbers import p_of
from studies.variants.config import ELSEWHERE, MEASURED
from studies.variants.summary import GroupFigures, VariantsSummary


def variants_tables(summary: VariantsSummary) -> list[Table]:
    """Figures of every variant, the family's contrasts, the others of its corpus, and those elsewhere."""
    tables = [_figures(group) for group in summary["groups"]]
    on, here = summary["own"], summary["corpora"].keys()
    kinds = [
        (one, ("family" if one["headline"] else "own" if one["a"] in here else "elsewhere"))
        for one in summary["contrasts"]
    ]
    titles = {
        "family": f"Variant − topk on {on}",
        "own": f"Exploratory on {on}: figures without a verdict, and controls",
        "elsewhere": ELSEWHERE,
    }
    for wanted, title in titles.items():
        is_headline = wanted == "family"
        header = ("figure", "variant", "difference", "95 % interval", "p (Holm)" if is_headline else "p", "verdict")
        rows: list[tuple[str, ...]] = [
            (one["metric"], one["a"], *sizes(one), p_of(one["p_holm"] if is_headline else one["p"]), one["verdict"])
            for one, kind in kinds
            if kind == wanted
        ]
        if rows:
            tables.append(Table(title, header, rows))
    return tables


def _figures(group: GroupFigures) -> Table:
    metrics = [name for name in (*MEASURED, "l0") if any(name in of for of in group["variants"].values())]
    rows = [
        (variant, *(plus_minus(of[name]["value"], of[name]["ci95"]) if name in of else "–" for name in metrics))
        for variant, of in group["variants"].items()
    ]
    return Table(
        f"Variants on {group['corpus']}, {group['shape']}, 95 % intervals over seeds", ("variant", *metrics), rows
    )
