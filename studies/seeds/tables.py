"""Tables of the seed study for the terminal and the report."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.common.tables import Table, cell, contrast_tables
from studies.seeds.chance import FLOORS, highest_floor
from studies.seeds.stability import FIGURES
from studies.seeds.summary import SeedsSummary
from studies.statistics.numbers import NONE, fixed, span
from studies.statistics.records import Figure

METRICS = (
    "shared_feature_ratio", "pw_mcc", "top1_ratio", "sfr_alive", "sfr_weighted", "sfr_encoder", "sfr_both",
    "activation_correlation", "unmatched_explained", "unmatched_random",
)  # fmt: skip
BETWEEN = ("shared_feature_ratio", "pw_mcc")


def seeds_tables(summary: SeedsSummary) -> list[Table]:
    """All tables of the study."""
    names = list(summary["corpora"])
    tables: list[Table] = []
    if names:
        title = f"Within a corpus, {summary['shape']}: mean over pairs of seeds, 95 % interval"
        tables.append(Table(title, ("metric", *names), [*_by_corpus(summary, METRICS), *_by_chance(summary)]))
        title = "Floors: shared features where there is nothing to share"
        tables.append(Table(title, ("floor", "metric", *names), _floors(summary)))
    tables += _stability(summary)
    if summary["across"]:
        tables.append(Table("Across corpora, other seeds", ("corpora", *BETWEEN), _pairs(summary["across"], BETWEEN)))
    if summary["between_shapes"]:
        metrics = (*BETWEEN, "floor_random")
        tables.append(Table("Between shapes", ("SAEs", *metrics), _pairs(summary["between_shapes"], metrics)))
    return tables + contrast_tables(summary)


def _by_corpus(summary: SeedsSummary, metrics: Sequence[str]) -> list[tuple[str, ...]]:
    """A row per figure that any corpus has."""
    corpora = summary["corpora"].values()
    return [
        (metric, *(cell(values.get(metric)) for values in corpora))
        for metric in metrics
        if any(metric in values for values in corpora)
    ]


def _by_chance(summary: SeedsSummary) -> list[tuple[str, ...]]:
    """The highest floor of the shared feature ratio, whatever it is of."""
    floors = [highest_floor(found) for found in summary["corpora"].values()]
    if all(floor is None for floor in floors):
        return []
    return [("shared_feature_ratio by chance (the highest floor)", *(cell(floor) for floor in floors))]


def _floors(summary: SeedsSummary) -> list[tuple[str, ...]]:
    """A row per floor and figure that any corpus has."""
    rows = []
    for floor in FLOORS:
        for metric in METRICS:
            key = floor if metric == METRICS[0] else f"{floor}_{metric}"
            rows += [(floor, metric, *cells) for _, *cells in _by_corpus(summary, [key])]
    return rows


def _stability(summary: SeedsSummary) -> list[Table]:
    """Which latents reappear; nothing where no pair is within a corpus, or in a study of before they were looked at."""
    found = summary.get("stability", {})
    if not found:
        return []
    rows = [(name, *(_ranged(of.get(name)) for of in found.values())) for name in FIGURES]
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    title = "Stable latents: those that reappear in more than half of the other seeds"
    ends = "smallest and largest of an SAE, of the start the 95 % interval"
    tables = [Table(f"{title}; in brackets {ends}", ("metric", *found), rows)]
    curves = {name: {one["density"]: one for one in of.get("reappearance", ())} for name, of in found.items()}
    if edges := sorted({edge for curve in curves.values() for edge in curve}):
        cells = [(f"{edge:g}", *(_of_bin(curve.get(edge)) for curve in curves.values())) for edge in edges]
        title = "How probably a latent reappears with another seed, by its density; in brackets latents of an SAE"
        chance = [highest_floor(summary["corpora"].get(name, {})) for name in found]
        cells.append(("by chance (the highest floor)", *map(cell, chance)))
        tables.append(Table(title, ("density at most", *found), cells))
    return tables


def _ranged(found: Any) -> str:
    """A figure with its range, or its interval."""
    if found is None:
        return NONE
    return f"{fixed(found['value'])} ({span(found['range'], 4)})" if "range" in found else cell(found)


def _of_bin(found: Any) -> str:
    return NONE if found is None else f"{fixed(found['value'])} ({found['latents']:,.0f})"


def _pairs(found: Mapping[str, Mapping[str, Figure | float | None]], metrics: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name, *(cell(values.get(metric)) for metric in metrics)) for name, values in found.items()]
