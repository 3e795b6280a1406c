"""The tables of `faithful study variants`, for the terminal and the report."""

from studies.common.tables import Table, plus_minus
from studies.statistics.numbers import fixed, p_of, span
from studies.variants.config import MEASURED
from studies.variants.summary import GroupFigures, VariantsSummary


def variants_tables(summary: VariantsSummary) -> list[Table]:
    """Figures of every variant, the family's contrasts, and those of the others and of the controls."""
    tables = [_figures(group) for group in summary["groups"]]
    for is_headline, title in ((True, "Variant − TopK"), (False, "Exploratory: controls, other corpora and shapes")):
        header = ("figure", "variant", "difference", "95 % interval", "p (Holm)" if is_headline else "p", "verdict")
        rows: list[tuple[str, ...]] = [
            (
                one["metric"],
                one["a"],
                fixed(one["difference"], sign=True),
                span(one["ci95"], 4),
                p_of(one["p_holm"] if is_headline else one["p"]),
                one["verdict"],
            )
            for one in summary["contrasts"]
            if one["headline"] == is_headline
        ]
        if rows:
            tables.append(Table(title, header, rows))
    return tables


def _figures(group: GroupFigures) -> Table:
    metrics = [name for name in MEASURED if any(name in of for of in group["variants"].values())]
    rows = [
        (variant, *(plus_minus(of[name]["value"], of[name]["ci95"]) if name in of else "–" for name in metrics))
        for variant, of in group["variants"].items()
    ]
    return Table(
        f"Variants on {group['corpus']}, {group['shape']}, 95 % intervals over seeds", ("variant", *metrics), rows
    )
