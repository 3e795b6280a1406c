"""Tables of the seed study for the terminal and the report."""

from collections.abc import Sequence
from typing import Any

from studies.common.tables import Table, contrast_tables
from studies.seeds.chance import FLOORS, highest_floor

METRICS = (
    "shared_feature_ratio", "pw_mcc", "top1_ratio", "sfr_alive", "sfr_weighted", "sfr_encoder", "sfr_both",
    "activation_correlation", "unmatched_explained", "unmatched_random",
)  # fmt: skip
BETWEEN = ("shared_feature_ratio", "pw_mcc")


def seeds_tables(summary: dict[str, Any]) -> list[Table]:
    """Title, header and rows of each table."""
    names = list(summary["corpora"])
    tables: list[Table] = []
    if names:
        title = f"Within a corpus, {summary['shape']}: mean over pairs of seeds, 95 % interval"
        tables += [(title, ("metric", *names), [*_by_corpus(summary, METRICS), *_by_chance(summary)])]
        header = ("floor", "metric", *names)
        tables += [("Floors: shared features where there is nothing to share", header, _floors(summary))]
    if summary["across"]:
        tables.append(
            ("Across corpora, other seeds", ("corpora", *_spaced(BETWEEN)), _pairs(summary["across"], BETWEEN))
        )
    if summary["between_shapes"]:
        header = ("SAEs", *_spaced(BETWEEN), "floor random")
        tables.append(("Between shapes", header, _pairs(summary["between_shapes"], (*BETWEEN, "floor_random"))))
    tables += contrast_tables(summary)
    if summary.get("assignments"):
        found = summary["assignments"]
        title = (
            f"How the optimal assignments were found: no other one is better by more than {found['largest_gap']:.3g}"
        )
        tables.append((title, ("path", "assignments"), [(path, str(count)) for path, count in found["paths"].items()]))
    return tables


def _by_corpus(summary: dict[str, Any], metrics: Sequence[str]) -> list[tuple[str, ...]]:
    """A row per figure that any corpus has."""
    corpora = summary["corpora"].values()
    return [
        (metric, *(_shown(values.get(metric)) for values in corpora))
        for metric in metrics
        if any(metric in values for values in corpora)
    ]


def _by_chance(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """The highest floor of the shared feature ratio, whatever it is of."""
    floors = [highest_floor(found) for found in summary["corpora"].values()]
    if all(floor is None for floor in floors):
        return []
    return [("shared_feature_ratio by chance (the highest floor)", *(_shown(floor) for floor in floors))]


def _floors(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row per floor and figure that any corpus has."""
    rows = []
    for floor in FLOORS:
        for metric in METRICS:
            key = floor if metric == METRICS[0] else f"{floor}_{metric}"
            rows += [(floor, metric, *cells) for _, *cells in _by_corpus(summary, [key])]
    return rows


def _pairs(found: dict[str, Any], metrics: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name, *(_shown(values.get(metric)) for metric in metrics)) for name, values in found.items()]


def _spaced(metrics: Sequence[str]) -> list[str]:
    return [metric.replace("_", " ") for metric in metrics]


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return "–"
    if not isinstance(value, dict):
        return f"{value:.4f}"
    if value["value"] is None:
        return "–"
    return f"{value['value']:.4f}" + (f" ({_ends(value['ci95'])})" if value["ci95"] else "")


def _ends(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"
