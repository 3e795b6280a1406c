"""What a contrast says, in a sentence: the verdicts, its study's wording, numbers with as many digits as they need."""

from collections.abc import Mapping, Sequence
from typing import Any

from studies.statistics.headlines import Headline, Wording
from studies.statistics.numbers import listed, p_of, plain, span

DIFFERS, DIFFERS_LITTLE = "differs", "differs by less than the margin"
DEPENDS, DEPENDS_ON_TASK = "depends on the text", "depends on the task"
SAME, UNCLEAR, EXPLORATORY = "no relevant difference", "cannot tell", "exploratory"
UNDECIDED = "cannot be decided"
ONE_BY_ONE = "; one by one: "
SIGNIFICANT = (DIFFERS, DIFFERS_LITTLE)

AS_GOOD, NOT_SHOWN, BEHIND = "as good or better here", "the trained are not shown to be better", "behind"
ORACLE = "oracle"
"""The control that nothing may exceed: the truth itself, where it is known."""
ABOVE_TRUTH, BELOW_TRUTH = "the trained are better than the truth", "below the truth"
ROUNDING = 1e-9


def standing(one: Mapping[str, Any]) -> str:
    """How a control stands to the trained SAEs, of an entry of `summary["beside"]`: `AS_GOOD` where these are not ahead in
    the mean, `NOT_SHOWN` where they are and the interval reaches 0, else `BEHIND`, also where too few seeds leave none. To
    the oracle it is the trained SAEs that stand: `ABOVE_TRUTH` where they are ahead in the mean, by more than rounding, else
    `BELOW_TRUTH`.
    """
    if one["control"] == ORACLE:
        return ABOVE_TRUTH if (one["ahead"] or 0) > ROUNDING else BELOW_TRUTH
    if one["ahead"] is None:
        return BEHIND
    if one["ahead"] <= 0:
        return AS_GOOD
    return NOT_SHOWN if one["ci95"] and one["ci95"][0] <= 0 else BEHIND


def not_told_apart(summary: Mapping[str, Any]) -> list[str]:
    """Metrics by which a control scores as well as or better than trained SAEs, a sentence each; those by which these are
    ahead of a control, but not beyond their seeds' noise; and those by which they are ahead of the truth."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for one in summary.get("beside", ()):
        of = found.setdefault(standing(one), {}).setdefault(one["metric"], {})
        seeds = counted(min(one["trained"]["seeds"], one["of_control"]["seeds"]), "seed")
        corpus = f"{one['corpus']} ({seeds})" if standing(one) == NOT_SHOWN else one["corpus"]
        of.setdefault(one["control"], []).append(corpus)
    said = {
        AS_GOOD: "By {metric} a control scores as well as the trained SAEs or better ({who}): it is no measure of quality"
        " here.",
        NOT_SHOWN: "By {metric} trained SAEs are ahead of a control, but are not shown to be better: {who}.",
        ABOVE_TRUTH: "By {metric} trained SAEs score better than the truth itself ({who}): it is no measure of quality here.",
    }
    told = []
    for state, words in said.items():
        for metric, of in found.get(state, {}).items():
            who = "; ".join(f"{one} on {listed(corpora)}" for one, corpora in of.items())
            told.append(words.format(metric=metric, who=who))
    return told


def sentence(wording: Wording, entry: Mapping[str, Any]) -> str:
    """An entry of `inference.judge` in words.

    `own-corpus SAEs share 3.1 points more features across seeds than pile-corpus SAEs (1.2 to 5.0; Holm p 0.01; 6 seeds)`;
    an interval is that of the claim (of `fewer` where it says fewer), otherwise of a − b. A headline on some text begins with
    that text; where it is of several parts, or the parts contradict each other, each is stated with direction and size.
    """
    a, b, metric, difference, ends = (entry[name] for name in ("a", "b", "metric", "difference", "ci95"))
    seeds = [counted(entry["seeds"], wording.replicate), *_left_out(entry["left_out"], wording.replicate)]
    if difference is None:
        why = str(entry["verdict"]).removeprefix(f"{UNDECIDED}: ")
        seeds = seeds if why == seeds[0] else [why, *seeds]
        return f"{UNDECIDED}: {metric} of {a} and {b} has no figures to compare ({'; '.join(seeds)})"
    if not entry["headline"]:
        bounds = span(ends) if ends else "no interval"
        few = f"{entry['verdict']}; " if entry["verdict"].startswith(UNDECIDED) else ""
        return f"{few}{metric}, {a} minus {b}: {plain(difference)} ({'; '.join([bounds, *seeds, EXPLORATORY])})"
    said = entry["verdict"]
    if said in (DEPENDS, DEPENDS_ON_TASK):
        found = f"{said}: {_claimed(wording, entry, seeds)}"
    elif said.startswith(UNDECIDED):
        found = f"{said}; {_claimed(wording, entry, seeds)}"
    elif said in SIGNIFICANT:
        margin = sized(entry["margin"], wording)
        found = _claimed(wording, entry, seeds) + (f", by less than the margin of {margin}" if said != DIFFERS else "")
    else:
        found = _not_told_apart(wording, entry, seeds)
    of = _told_apart(entry)
    return found + (f"{ONE_BY_ONE}{part_by_part(wording, entry, of)}" if of else "")


def part_by_part(wording: Wording, entry: Mapping[str, Any], names: Sequence[str] | None = None) -> str:
    """What a contrast is on each part of the panel (of probes: on each task) alone, with direction, size and interval.

    Args:
        wording: the words.
        entry: of `inference.judge`, with parts.
        names: some of the parts; by default all.
    """
    parts = {name: entry["parts"][name] for name in names or entry["parts"]}
    known = {name: part for name, part in parts.items() if part["difference"] is not None}
    sizes = [value for part in known.values() for value in (part["difference"], *(part["ci95"] or ()))]
    decimals = _decimals(sizes, wording)
    said = []
    for name, part in parts.items():
        if name not in known:
            said.append(f"no figure on {name}")
            continue
        sign = -1 if part["difference"] < 0 else 1
        amount = _number(abs(part["difference"]), decimals, wording) + wording.unit
        ends = _range(sorted(sign * end for end in part["ci95"]), decimals, wording) if part["ci95"] else "no interval"
        doubt = "" if part["verdict"] in SIGNIFICANT else "; not significant"
        said.append(f"{amount} {wording.more[sign < 0]} on {name} ({ends}{doubt})")
    return wording.by_parts.format(a=entry["a"], b=entry["b"], parts=listed(said))


def too_few(headline: Headline, reach: float) -> str:
    """That what was drawn cannot resolve the margin, however many seeds there are: `reach` is half its 95 % interval."""
    wording = headline.wording
    amount = _number(reach, _decimals([reach], wording), wording) + wording.unit
    margin = sized(headline.margin, wording)
    return f"the {wording.drawn} alone leave ±{amount} open, more than the margin of {margin}"


def _told_apart(entry: Mapping[str, Any]) -> list[str]:
    """The parts to state beside the claim: those it is made of, where they are several; where the parts contradict each
    other all but the one that the claim is of."""
    parts, texts = list(entry.get("parts", ())), entry.get("texts") or ()
    if entry["verdict"] in (DEPENDS, DEPENDS_ON_TASK):
        return [name for name in parts if list(texts) != [name]]
    if entry["verdict"].startswith(UNDECIDED):
        return []
    of = [name for name in parts if not texts or name in texts]
    return of if len(of) > 1 else []


def text_of(entry: Mapping[str, Any]) -> str:
    """The text that a headline is on, `matched text (own)`; '' where it is on none in particular."""
    return f"{entry['text']} text ({', '.join(entry['texts'])})" if entry.get("text") else ""


def _claimed(wording: Wording, entry: Mapping[str, Any], seeds: Sequence[str]) -> str:
    """The claim with its interval and, where something is decided, its p."""
    difference, ends = entry["difference"], entry["ci95"]
    sign = -1 if difference < 0 else 1
    decimals = _decimals([difference, *(ends or ())], wording)
    amount = _number(abs(difference), decimals, wording) + wording.unit
    claim = wording.claim.format(a=entry["a"], b=entry["b"], amount=amount, more=wording.more[difference < 0])
    bounds = _range(sorted(sign * end for end in ends), decimals, wording) if ends else "no interval"
    p = [] if entry["verdict"].startswith(UNDECIDED) else [f"Holm p {p_of(entry['p_holm'])}"]
    on = f"on {text_of(entry)}, " if entry.get("text") else ""
    return f"{on}{claim} ({'; '.join([bounds, *p, *seeds])})"


def _not_told_apart(wording: Wording, entry: Mapping[str, Any], seeds: Sequence[str]) -> str:
    a, b, ends = entry["a"], entry["b"], entry["ci95"]
    measured = _range(ends, _decimals([entry["difference"], *ends], wording), wording) + wording.unit
    about = wording.subject + (f" on {text_of(entry)}" if entry.get("text") else "")
    if entry["verdict"] == SAME:
        return f"{SAME} between {a} and {b} in {about} ({'; '.join([measured, *seeds])})"
    p = f"Holm p {p_of(entry['p_holm'])}"
    found = f"{UNCLEAR} {a} and {b} apart in {about} ({'; '.join([measured, p, *seeds])})"
    return found + (f"; {entry['too_little']}" if entry.get("too_little") else "")


def counted(number: int, replicate: str) -> str:
    """`6 seeds`, `1 truth`."""
    return f"{number} {replicate}" + ("" if number == 1 else "s")


def _left_out(seeds: Sequence[int], replicate: str) -> list[str]:
    if not seeds:
        return []
    return [f"{replicate}{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} left out"]


def sized(value: float, wording: Wording) -> str:
    """A margin in the sentence's unit: `1 point`, `0.005`."""
    number = f"{value * wording.scale:g}"
    return number + (wording.unit.removesuffix("s") if number == "1" else wording.unit)


def _range(ends: Sequence[float], decimals: int, wording: Wording) -> str:
    return " to ".join(_number(end, decimals, wording) for end in ends)


def _decimals(values: Sequence[float], wording: Wording) -> int:
    """Digits after the point that show every value that is not 0, up to three more than the wording asks for."""
    for decimals in range(wording.decimals, wording.decimals + 3):
        if all(value == 0 or round(abs(value) * wording.scale, decimals) > 0 for value in values):
            return decimals
    return wording.decimals + 3


def _number(value: float, decimals: int, wording: Wording) -> str:
    rounded = round(value * wording.scale, decimals) + 0.0
    return f"{rounded:.{decimals}f}".replace("-", "−")
