"""The tables of `faithful study synthetic`."""

from collections.abc import Mapping
from itertools import product

from studies.common.tables import Table, cell, plus_minus, sizes
from studies.statistics.numbers import fixed, p_of
from studies.statistics.records import Figure
from studies.synthetic.planted import DENSITY, OWN, STIMULI, STRONG, WITH, Flagged
from studies.synthetic.summary import SyntheticSummary

FOUND = {
    "fvu": "fvu", "l0": "L0", "dead": "dead", "alive": "alive", "recovery": "recovery .7", "recovery_strict": ".9",
    "mcc": "MCC of alive", "uniqueness": "unique", "f1": "firing F1", "coherence": "coherence / Welch",
}  # fmt: skip
ABSORBED = {
    "absorption": "absorption", "absorption_low": "low L0", "absorption_middle": "middle", "absorption_high": "high",
    "absorption_raw": "all tokens", "overlap": "overlap", "true_shared": "true of shared",
    "true_unshared": "of unshared", "composite_shared": "composite of shared untrue",
}  # fmt: skip
WHOLE = {"dead", "alive"}
TITLE = "Planted foreign latents"


def synthetic_tables(summary: SyntheticSummary) -> list[Table]:
    """All tables of the study; those of which no variant has a figure are left out."""
    tables: list[Table] = []
    for truth, names in summary["truths"].items():
        said = f"{truth}: {summary['sizes']['truth_seeds']} truths × {summary['sizes']['seeds']} init seeds, ± 95 %"
        tables.append(_figures(f"What is found of {said}", summary, truth, names, FOUND))
        tables.append(_figures(f"Absorption and agreement on {said}", summary, truth, names, ABSORBED))
    tables += [*_contrasts(summary), *_planted(summary)]
    for truth, names in summary["truths"].items():
        metrics = dict.fromkeys(metric for name in names for metric in summary["corpora"][name])
        rest = {metric: metric for metric in metrics if metric not in FOUND | ABSORBED}
        tables.append(_figures(f"All figures of {truth} besides", summary, truth, names, rest))
    return [table for table in tables if len(table.header) > 1]


def _figures(title: str, summary: SyntheticSummary, truth: str, names: list[str], shown: dict[str, str]) -> Table:
    """A variant a line; figures that none of them has are left out."""
    of = {name: summary["corpora"][name] for name in names}
    there = {
        metric: said for metric, said in shown.items() if any(_value(one, metric) is not None for one in of.values())
    }
    rows = [
        (name.removesuffix(f" on {truth}"), *(_cell(figures, metric) for metric in there))
        for name, figures in of.items()
    ]
    return Table(title, ("variant", *there.values()), rows)


def _value(figures: Mapping[str, Figure], metric: str) -> float | None:
    return figures[metric]["value"] if metric in figures else None


def _cell(figures: Mapping[str, Figure], metric: str) -> str:
    ends = figures[metric]["ci95"] if metric in figures else None
    return plus_minus(_value(figures, metric), ends, 0 if metric in WHOLE else 3)


def _contrasts(summary: SyntheticSummary) -> list[Table]:
    tables = []
    for metric in dict.fromkeys(entry["metric"] for entry in summary["contrasts"]):
        rows: list[tuple[str, ...]] = [
            (entry["a"], *sizes(entry), p_of(entry["p_holm"]), entry["verdict"])
            for entry in summary["contrasts"]
            if entry["metric"] == metric
        ]
        header = ("variant − topk", "difference", "95 % interval", "p (Holm)", "verdict")
        tables.append(Table(f"{metric}: contrasts with topk", header, rows))
    return tables


def _planted(summary: SyntheticSummary) -> list[Table]:
    """What each rule finds, how many fire at once, and the sweep of the magnitude rule."""
    rules: list[tuple[str, ...]] = []
    l0: list[tuple[str, ...]] = []
    sweep: list[tuple[str, ...]] = []
    for name, by_training in summary["planted"].items():
        for trained, of in by_training.items():
            about = (name, trained, cell(of["learned"], 1))
            for (rule, flagged), stimulus in product(((DENSITY, of[DENSITY]), (STRONG, of[STRONG])), STIMULI):
                rules.append((*about, rule, stimulus, *_both(flagged[stimulus])))
            l0.append((name, trained, *(cell(value, 2) for text, value in of["l0"].items() if text != OWN)))
            for at, by_stimulus in of["sweep"].items() if trained == WITH else ():
                figures = (part for one in STIMULI for part in _both(by_stimulus[one], ends=False))
                sweep.append((name, *at.split(), *figures))
    if not rules:
        return []
    first = next(iter(summary["planted"].values()))[WITH]["l0"]
    said = ("SAEs", "trained", "foreign latents", "rule", "often on", "found", "others flagged")
    swept = (f"{what} on {one}" for one in STIMULI for what in ("found", "others"))
    return [
        Table(f"{TITLE}: flagged where they fire often on a stimulus and seldom on the truth", said, rules),
        Table("L0 over that on the truth", ("SAEs", "trained", *(text for text in first if text != OWN)), l0),
        Table(f"{TITLE}: sweep of the rule for strong firing", ("SAEs", "quantile", "share", *swept), sweep),
    ]


def _both(of: Flagged, ends: bool = True) -> tuple[str, str]:
    if not ends:
        return fixed(of["found"]["value"], 2), fixed(of["flagged_else"]["value"], 1)
    return cell(of["found"], 2), cell(of["flagged_else"], 1)
