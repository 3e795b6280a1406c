"""The statistics of every study: contrasts between corpora, corrected together, with a verdict and a sentence each.

Replicates are init seeds, paired across corpora, and everything is conditional on the corpora as drawn. `estimate` and
`contrast` take figures per seed or per pair of seeds; `summarise` makes of them what summary.json holds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, cast

import numpy as np

from faithful.base.errors import FaithfulError
from studies.statistics.estimates import Estimate, Figures, contrast, estimate
from studies.statistics.headlines import Headline
from studies.statistics.numbers import ALPHA
from studies.statistics.parts import Parts
from studies.statistics.records import Contrast, Difference, Statistics
from studies.statistics.resampled import Resampled
from studies.statistics.sentences import (
    DEPENDS,
    DEPENDS_ON_TASK,
    DIFFERS,
    DIFFERS_LITTLE,
    EXPLORATORY,
    SAME,
    SIGNIFICANT,
    UNCLEAR,
    UNDECIDED,
    counted,
    sentence,
    too_few,
)

SEEDS_FOR_VERDICT = Headline.least
FAR_POSITIONS = 0.1
NORMAL = 1.96
CONDITIONAL = "Intervals and p-values are over init seeds, given the corpora as they were drawn."


@dataclass(frozen=True)
class Comparison:
    """Figures of two corpora that shall be contrasted, a − b.

    Attributes:
        a, b: names of the corpora, or of what else the figures are of.
        metric: a name of docs/metrics.md.
        figures_a, figures_b: per seed, or per pair of seeds.
        headline: whether it belongs to the study's family of headline contrasts; everything else is exploratory.
        parts: the same two figures on each part of the panel (of probes: each task) alone, by the part's name.
        undefined: why there is no figure, where there is none on either side.
        text: `matched` or `foreign`, where it is on some text alone.
        texts: parts of the panel that are this text.
        chance: why the figures say nothing, where they say nothing on either side: a headline is then undecided.
    """

    a: str
    b: str
    metric: str
    figures_a: Figures
    figures_b: Figures
    headline: bool = False
    parts: Mapping[str, tuple[Figures, Figures]] = field(default_factory=dict)
    undefined: str | None = None
    text: str = ""
    texts: tuple[str, ...] = ()
    chance: str | None = None


def verdict(
    found: Estimate,
    p_holm: float | None,
    margin: float | None,
    undefined: str | None = None,
    chance: str | None = None,
    least: int = SEEDS_FOR_VERDICT,
    replicate: str = "seed",
) -> str:
    """What a contrast allows to say.

    Args:
        found: the contrast.
        p_holm: its corrected p.
        margin: largest difference that is not relevant; None for an exploratory contrast.
        undefined: why there are no figures, if there are none.
        chance: why the figures say nothing, if they do not.
        least: seeds, or other replicates, that it needs.
        replicate: what they are called.
    """
    if found.value is None and undefined is not None:
        return f"{UNDECIDED}: {undefined}"
    if len(found.seeds) < least:
        return f"{UNDECIDED}: {counted(len(found.seeds), replicate)}"
    if margin is None:
        return EXPLORATORY
    if chance is not None:
        return f"{UNDECIDED}: {chance}"
    if found.ci95 is None:
        return f"{UNDECIDED}: too few examples or contexts for an interval"
    if p_holm is None:
        return f"{UNDECIDED}: every seed gives the same difference"
    inside = -margin <= found.ci95[0] and found.ci95[1] <= margin
    if p_holm < ALPHA:
        return DIFFERS_LITTLE if inside else DIFFERS
    return SAME if inside else UNCLEAR


def judge(
    headline: Headline, comparisons: Sequence[Comparison], positions: Mapping[str, np.ndarray] | None = None
) -> list[Contrast]:
    """Contrast, correct and decide.

    The family for Holm is all headline comparisons given; one without a p counts in it as p = 1. The parts of all of them
    are a family of their own. Where two parts differ significantly with opposite signs, what one would say of their mixture
    is a matter of the mixture: the verdict of every headline of those two corpora is that it depends on the text.

    Args:
        headline: what the study's verdict is about.
        comparisons: in the order wanted.
        positions: how many tokens of each corpus' contexts stand at each position, int64 [≤ L], by corpus.

    Returns:
        an entry for each: `a`, `b`, `metric`, `text`, `texts`, `difference`, `ci95`, `df` (degrees of freedom of the interval
        and of `p`), `error_seeds` and `error_drawn` (standard errors: what seeds, and what the examples or contexts drawn,
        add to the interval), `p`, `p_holm` and `margin` (None for an exploratory one), `verdict` ("cannot be decided" for
        every entry of fewer than six seeds), `headline`, `sign_flip_p`, `sign_flip_least`, `jackknife_ci95`, `seeds` (how
        many), `left_out`, `sentence`; `parts` ({name: difference, ci95, p, p_holm, verdict …} on each part of the panel)
        where it has parts; `too_little` where the examples or contexts alone leave more than the margin open;
        `position_distance` where the corpora's histograms of positions differ by a total variation above 0.1.

    Raises:
        FaithfulError: figures that cannot be contrasted, or a headline of a study that has none.
    """
    _refuse_unknown(headline, comparisons)
    entries = _judged([headline] * len(comparisons), comparisons)
    parts = _judged_parts(headline, comparisons)
    distances = position_distances(positions or {})
    for one, entry in zip(comparisons, entries, strict=True):
        if one.headline and one.parts:
            on_parts = {name: parts[one.a, one.b, name] for name in one.parts}
            entry["parts"] = {name: _of_a_part(found) for name, found in on_parts.items()}
            if reverses(entry) and not str(entry["verdict"]).startswith(UNDECIDED):
                entry["verdict"] = DEPENDS if headline.of_text else DEPENDS_ON_TASK
        reach = NORMAL * (entry["error_drawn"] or 0.0)
        if entry["verdict"] == UNCLEAR and reach > headline.margin:
            entry["too_little"] = too_few(headline, reach)
        entry["sentence"] = sentence(headline.wording, entry)
        distance = distances.get((one.a, one.b), 0.0)
        if distance > FAR_POSITIONS:
            entry["position_distance"] = distance
            entry["sentence"] += (
                f"; {one.a} and {one.b} fill different positions (total variation {distance:.2f}; control: a length-matched"
                " own corpus)"
            )
    return entries


def judge_together(of: Sequence[tuple[Headline, Comparison]]) -> list[Contrast]:
    """The same for comparisons of several figures, each with the margin and the words of its own headline: one family.

    They have no parts.
    """
    entries = _judged([headline for headline, _ in of], [one for _, one in of])
    for (headline, _), entry in zip(of, entries, strict=True):
        entry["sentence"] = sentence(headline.wording, entry)
    return entries


def reverses(entry: Mapping[str, Any]) -> bool:
    """Whether two parts of an entry of `judge` differ significantly with opposite signs."""
    signs = {part["difference"] > 0 for part in entry.get("parts", {}).values() if part["verdict"] in SIGNIFICANT}
    return len(signs) > 1


def summarise(
    headline: Headline,
    figures: Mapping[str, Mapping[str, Figures]],
    own: str | None,
    parts: Parts | None = None,
    positions: Mapping[str, np.ndarray] | None = None,
    *,
    is_headline: bool = True,
    controls: Mapping[str, str] | None = None,
    undefined: str | None = None,
    nothing: Collection[str] = (),
    chance: str = "",
) -> Statistics:
    """A study's part of summary.json that is statistics.

    Args:
        headline: what the study's verdict is about.
        figures: by metric and corpus.
        own: the corpus the others are contrasted with; without one every two corpora are, and nothing is a headline.
        parts: figures of the headline metric on each part of the panel, or on each task.
        positions: as for `judge`.
        is_headline: False for further shapes of SAEs, whose contrasts are all exploratory: the family of a study is that of
            its first shape (see `faithful.store.saes.ordered_shapes`).
        controls: parts of the own corpus with another's lengths, by name that other corpus, which each is contrasted with
            outside the family.
        undefined: why the headline has no figures, if it has none.
        nothing: corpora whose headline figure is no more than chance gives; between two of them nothing is decided.
        chance: the reason to give then.

    Returns:
        `corpora` ({name: {metric: {value, ci95, seeds}}}), `contrasts` (as `judge` gives them), `texts` (the parts that are
        matched and foreign text) and `conditional_on`, the sentence that says so.

    Raises:
        FaithfulError: figures that cannot be averaged or contrasted.
    """
    on_texts = parts.on_texts(headline.metric) if parts is not None and headline.of_text else {}
    figures = {metric: by_corpus for metric, (_, _, by_corpus) in on_texts.items()} | dict(figures)
    names = dict.fromkeys(name for by_corpus in figures.values() for name in by_corpus)
    corpora = {
        name: {
            metric: estimate(by_corpus[name]).summary() for metric, by_corpus in figures.items() if name in by_corpus
        }
        for name in names
    }
    comparisons = []
    for metric, by_corpus in figures.items():
        others = [name for name in by_corpus if name != own and own in by_corpus]
        text, texts, _ = on_texts.get(metric, ("", (), {}))
        why = undefined if metric in headline.metrics else None
        leads = metric in headline.metrics and own is not None and is_headline
        for a, b in combinations(by_corpus, 2) if own is None else ((own, name) for name in others):
            on_parts = parts.figures if leads and parts is not None else {}
            order = sorted(on_parts, key=lambda name: name != own)
            both = {name: (on_parts[name].get(a, {}), on_parts[name].get(b, {})) for name in order}
            figures_of = (by_corpus[a], by_corpus[b])
            by_chance = chance if a in nothing and b in nothing else None
            comparisons.append(Comparison(a, b, metric, *figures_of, leads, both, why, text, texts, by_chance))
        if own is not None and metric in headline.metrics:
            comparisons += [
                Comparison(part, source, metric, by_corpus[part], by_corpus[source], undefined=undefined)
                for part, source in (controls or {}).items()
                if source != own and part in by_corpus and source in by_corpus
            ]
    drawn = any(isinstance(one, Resampled) for by_corpus in figures.values() for one in by_corpus.values())
    return {
        "corpora": corpora,
        "contrasts": judge(headline, comparisons, positions),
        "texts": {text: list(of) for text, of, _ in on_texts.values()},
        "conditional_on": CONDITIONAL.replace(",", f" and over the {headline.wording.drawn},", 1)
        if drawn
        else CONDITIONAL,
    }


def position_distances(positions: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Total variation between the histograms of positions of every two corpora, in both orders of the names."""
    from generation.writing.statistics import total_variation

    found = {}
    for one, other in combinations(positions, 2):
        found[one, other] = found[other, one] = total_variation(positions[one], positions[other])
    return found


def _refuse_unknown(headline: Headline, comparisons: Sequence[Comparison]) -> None:
    for one in comparisons:
        if one.headline and one.metric not in headline.metrics:
            raise FaithfulError(
                f"{one.metric} is not the headline of the study ({' or '.join(headline.metrics)} is); leave it exploratory."
            )


def _judged(headlines: Sequence[Headline], comparisons: Sequence[Comparison]) -> list[Contrast]:
    """Entries without what needs parts and positions; a headline for each."""
    from generation.certificate.p_values import holm

    found = [contrast(one.figures_a, one.figures_b) for one in comparisons]
    family = {str(place): found[place].p for place, one in enumerate(comparisons) if one.headline}
    corrected = holm({place: 1.0 if p is None else p for place, p in family.items()})
    entries = []
    for place, (headline, one, result) in enumerate(zip(headlines, comparisons, found, strict=True)):
        p_holm = corrected[str(place)] if one.headline and result.p is not None else None
        margin = headline.margin if one.headline else None
        entry: Contrast = {
            "a": one.a,
            "b": one.b,
            "metric": one.metric,
            "text": one.text,
            "texts": list(one.texts),
            "difference": result.value,
            "ci95": None if result.ci95 is None else list(result.ci95),
            "df": result.freedom,
            "error_seeds": result.error_seeds,
            "error_drawn": result.error_drawn,
            "p": result.p,
            "p_holm": p_holm,
            "verdict": verdict(
                result,
                p_holm,
                margin,
                one.undefined,
                one.chance if one.headline else None,
                headline.least,
                headline.wording.replicate,
            ),
            "headline": one.headline,
            "margin": margin,
            "sign_flip_p": result.sign_flip_p,
            "sign_flip_least": result.sign_flip_least,
            "jackknife_ci95": None if result.jackknife_ci95 is None else list(result.jackknife_ci95),
            "seeds": len(result.seeds),
            "left_out": list(result.left_out),
        }
        entries.append(entry)
    return entries


def _judged_parts(headline: Headline, comparisons: Sequence[Comparison]) -> dict[tuple[str, str, str], Contrast]:
    """Entries of the headline contrasts on each part of the panel, by both corpora and the part: one family."""
    found: dict[tuple[str, str, str], Comparison] = {}
    for one in comparisons:
        for name, (figures_a, figures_b) in one.parts.items() if one.headline else ():
            part = Comparison(one.a, one.b, one.metric, figures_a, figures_b, headline=True, undefined=one.undefined)
            found.setdefault((one.a, one.b, name), part)
    return dict(zip(found, _judged([headline] * len(found), list(found.values())), strict=True))


def _of_a_part(entry: Contrast) -> Difference:
    values: Mapping[str, Any] = entry
    return cast(Difference, {key: values[key] for key in Difference.__annotations__})
