"""The statistics of every study: contrasts between corpora, corrected together, with a verdict and a sentence each.

Replicates are init seeds, paired across corpora, and everything is conditional on the corpora as drawn. `estimate` and
`contrast` take figures per seed or per pair of seeds; `summarise` makes of them what summary.json holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from faithful.errors import FaithfulError
from studies.estimates import Estimate, Figures, bootstrap_ci95, contrast, estimate
from studies.sentences import ALPHA, DIFFERS, DIFFERS_LITTLE, EXPLORATORY, SAME, UNCLEAR, UNDECIDED, sentence

SEEDS_FOR_VERDICT = 6
FAR_POSITIONS = 0.1
OF_A_PART = ("difference", "ci95", "p", "p_holm", "verdict")
CONDITIONAL = "Intervals and p-values are over init seeds, given the corpora as they were drawn."


@dataclass(frozen=True)
class Headline:
    """What a study's verdict is about.

    Attributes:
        metric: METRICS' name.
        margin: differences up to here are not relevant, in the metric's unit.
    """

    metric: str
    margin: float


HEADLINES = {
    "seeds": Headline("shared_feature_ratio", 0.01),
    "fakes": Headline("fake_contrast", 0.001),
    "probes": Headline("accuracy", 0.01),
    "reconstruction": Headline("ce_recovered", 0.005),
}


@dataclass(frozen=True)
class Comparison:
    """Figures of two corpora that shall be contrasted, a − b.

    Attributes:
        a, b: names of the corpora, or of what else the figures are of.
        metric: METRICS' name.
        figures_a, figures_b: per seed, or per pair of seeds.
        headline: whether it belongs to the study's family of headline contrasts; everything else is exploratory.
        parts: the same two figures on each part of the panel alone, by the part's name.
        undefined: why there is no figure, where there is none on either side.
    """

    a: str
    b: str
    metric: str
    figures_a: Figures
    figures_b: Figures
    headline: bool = False
    parts: Mapping[str, tuple[Figures, Figures]] = field(default_factory=dict)
    undefined: str | None = None


def verdict(found: Estimate, p_holm: float | None, margin: float | None, undefined: str | None = None) -> str:
    """What a contrast allows to say.

    Args:
        found: the contrast.
        p_holm: its corrected p.
        margin: largest difference that is not relevant; None for an exploratory contrast.
        undefined: why there are no figures, if there are none.
    """
    if found.value is None and undefined is not None:
        return f"{UNDECIDED}: {undefined}"
    if len(found.seeds) < SEEDS_FOR_VERDICT:
        return f"{UNDECIDED}: {len(found.seeds)} seed" + ("" if len(found.seeds) == 1 else "s")
    if margin is None:
        return EXPLORATORY
    if p_holm is None or found.ci95 is None:
        return f"{UNDECIDED}: every seed gives the same difference"
    inside = -margin <= found.ci95[0] and found.ci95[1] <= margin
    if p_holm < ALPHA:
        return DIFFERS_LITTLE if inside else DIFFERS
    return SAME if inside else UNCLEAR


def judge(
    study: str, comparisons: Sequence[Comparison], positions: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """Contrast, correct and decide.

    The family for Holm is all headline comparisons given; one without a p counts in it as p = 1. On a part of the panel
    the family is the same comparisons on that part.

    Args:
        study: `seeds`, `fakes`, `probes` or `reconstruction` where there are headlines.
        comparisons: in the order wanted.
        positions: how many tokens of each corpus' contexts stand at each position, int64 [≤ L], by corpus.

    Returns:
        an entry for each: `a`, `b`, `metric`, `difference`, `ci95`, `df` (degrees of freedom of the interval and of `p`),
        `p`, `p_holm` and `margin` (None for an exploratory one), `verdict` ("cannot be decided" for every entry of fewer
        than six seeds), `headline`, `sign_flip_p`, `sign_flip_least`, `jackknife_ci95`, `seeds` (how many), `left_out`,
        `sentence`; `parts` ({name: difference, ci95, p, p_holm, verdict} on each part of the panel) and
        `depends_on_panel` (names of the parts whose verdict is another) where it has parts; `position_distance` where the
        corpora's histograms of positions differ by a total variation above 0.1.

    Raises:
        FaithfulError: figures that cannot be contrasted, or a headline of a study that has none.
    """
    _refuse_unknown(study, comparisons)
    entries = _judged(study, comparisons)
    parts = _judged_parts(study, comparisons)
    distances = position_distances(positions or {})
    for place, (one, entry) in enumerate(zip(comparisons, entries, strict=True)):
        notes = []
        if one.headline and one.parts:
            on_parts = {name: parts[name][place] for name in one.parts}
            entry["parts"] = {name: {key: found[key] for key in OF_A_PART} for name, found in on_parts.items()}
            entry["depends_on_panel"] = depends_on_panel(entry, on_parts)
            if entry["depends_on_panel"]:
                flips = ", ".join(f"{name}: {on_parts[name]['verdict']}" for name in entry["depends_on_panel"])
                notes.append(f"depends on the panel ({flips})")
        distance = distances.get((one.a, one.b), 0.0)
        if distance > FAR_POSITIONS:
            entry["position_distance"] = distance
            notes.append(
                f"{one.a} and {one.b} fill different positions (total variation {distance:.2f}; control: a length-matched"
                " own corpus)"
            )
        entry["sentence"] = "; ".join([entry["sentence"], *notes])
    return entries


def summarise(
    study: str,
    figures: Mapping[str, Mapping[str, Figures]],
    own: str | None,
    parts: Mapping[str, Mapping[str, Figures]] | None = None,
    positions: Mapping[str, np.ndarray] | None = None,
    *,
    is_headline: bool = True,
    controls: Mapping[str, str] | None = None,
    undefined: str | None = None,
) -> dict[str, Any]:
    """A study's part of summary.json that is statistics.

    Args:
        study: name of the study.
        figures: by metric and corpus.
        own: the corpus the others are contrasted with; without one every two corpora are, and nothing is a headline.
        parts: figures of the headline metric on each part of the panel alone, by part and corpus.
        positions: as for `judge`.
        is_headline: False for further shapes of SAEs, whose contrasts are all exploratory: the family of a study is that of
            its first shape (see `studies.grid.ordered_shapes`).
        controls: parts of the own corpus with another's lengths, by name that other corpus, which each is contrasted with
            outside the family.
        undefined: why the headline has no figures, if it has none.

    Returns:
        `corpora` ({name: {metric: {value, ci95, seeds}}}), `contrasts` (as `judge` gives them) and `conditional_on`, the
        sentence that says so.

    Raises:
        FaithfulError: figures that cannot be averaged or contrasted.
    """
    names = dict.fromkeys(name for by_corpus in figures.values() for name in by_corpus)
    corpora = {
        name: {
            metric: estimate(by_corpus[name]).summary() for metric, by_corpus in figures.items() if name in by_corpus
        }
        for name in names
    }
    metric_of_verdicts = HEADLINES[study].metric if study in HEADLINES else None
    headline = metric_of_verdicts if own is not None and is_headline else None
    comparisons = []
    for metric, by_corpus in figures.items():
        others = [name for name in by_corpus if name != own and own in by_corpus]
        for a, b in combinations(by_corpus, 2) if own is None else ((own, name) for name in others):
            on_parts = {name: (part.get(a, {}), part.get(b, {})) for name, part in (parts or {}).items()}
            leads, why = metric == headline, undefined if metric == metric_of_verdicts else None
            on_parts = on_parts if leads else {}
            comparisons.append(Comparison(a, b, metric, by_corpus[a], by_corpus[b], leads, on_parts, why))
        if own is not None and metric == metric_of_verdicts:
            comparisons += [
                Comparison(part, source, metric, by_corpus[part], by_corpus[source], undefined=undefined)
                for part, source in (controls or {}).items()
                if source != own and part in by_corpus and source in by_corpus
            ]
    return {"corpora": corpora, "contrasts": judge(study, comparisons, positions), "conditional_on": CONDITIONAL}


def depends_on_panel(whole: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the parts of the panel whose verdict is another than the whole panel's, or the reverse difference.

    By how much something differs is not part of this; a part that cannot be decided says nothing.

    Args:
        whole: entry of `judge`.
        parts: entries of the same contrast on each part alone.
    """
    said = _conclusion(whole)
    return [name for name, part in parts.items() if None not in (said, _conclusion(part)) and said != _conclusion(part)]


def position_distances(positions: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Total variation between the histograms of positions of every two corpora, in both orders of the names."""
    from generation.length_match import total_variation

    found = {}
    for one, other in combinations(positions, 2):
        found[one, other] = found[other, one] = total_variation(positions[one], positions[other])
    return found


def _refuse_unknown(study: str, comparisons: Sequence[Comparison]) -> None:
    known = HEADLINES.get(study)
    for one in comparisons:
        if one.headline and (known is None or one.metric != known.metric):
            expected = known.metric if known else "none"
            raise FaithfulError(
                f"{one.metric} is not the headline of the study {study} ({expected} is); leave it exploratory."
            )


def _judged(study: str, comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Entries without what needs parts and positions."""
    from generation.certificate import holm

    found = [contrast(one.figures_a, one.figures_b) for one in comparisons]
    family = {str(place): found[place].p for place, one in enumerate(comparisons) if one.headline}
    corrected = holm({place: 1.0 if p is None else p for place, p in family.items()})
    entries = []
    for place, (one, result) in enumerate(zip(comparisons, found, strict=True)):
        p_holm = corrected[str(place)] if one.headline and result.p is not None else None
        margin = HEADLINES[study].margin if one.headline else None
        entry: dict[str, Any] = {
            "a": one.a,
            "b": one.b,
            "metric": one.metric,
            "difference": result.value,
            "ci95": None if result.ci95 is None else list(result.ci95),
            "df": result.freedom,
            "p": result.p,
            "p_holm": p_holm,
            "verdict": verdict(result, p_holm, margin, one.undefined),
            "headline": one.headline,
            "margin": margin,
            "sign_flip_p": result.sign_flip_p,
            "sign_flip_least": result.sign_flip_least,
            "jackknife_ci95": None if result.jackknife_ci95 is None else list(result.jackknife_ci95),
            "seeds": len(result.seeds),
            "left_out": list(result.left_out),
        }
        entries.append(entry | {"sentence": sentence(study, entry)})
    return entries


def _judged_parts(study: str, comparisons: Sequence[Comparison]) -> dict[str, list[dict[str, Any]]]:
    """Entries of the headline comparisons on each part of the panel, in places of `comparisons`."""
    names = dict.fromkeys(name for one in comparisons if one.headline for name in one.parts)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        on_part = [
            Comparison(
                one.a, one.b, one.metric, *one.parts.get(name, ({}, {})), headline=one.headline, undefined=one.undefined
            )
            for one in comparisons
        ]
        found[name] = _judged(study, on_part)
    return found


def _conclusion(entry: Mapping[str, Any]) -> tuple[str, bool] | None:
    """What an entry concludes, a difference with its direction; None where nothing can be decided."""
    said = entry["verdict"]
    if said.startswith(UNDECIDED) or said == EXPLORATORY:
        return None
    if said in (DIFFERS, DIFFERS_LITTLE):
        return DIFFERS, entry["difference"] > 0
    return said, True


__all__ = [
    "CONDITIONAL", "HEADLINES", "Comparison", "Estimate", "Figures", "Headline", "bootstrap_ci95", "contrast",
    "depends_on_panel", "estimate", "judge", "position_distances", "summarise", "verdict",
]  # fmt: skip
