"""What a contrast says, in a sentence: the verdicts, one wording per study, numbers with as many digits as they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALPHA = 0.05
DIFFERS, DIFFERS_LITTLE = "differs", "differs by less than the margin"
DEPENDS, DEPENDS_ON_TASK = "depends on the text", "depends on the task"
SAME, UNCLEAR, EXPLORATORY = "no relevant difference", "cannot tell", "exploratory"
UNDECIDED = "cannot be decided"
SIGNIFICANT = (DIFFERS, DIFFERS_LITTLE)


@dataclass(frozen=True)
class Wording:
    """How a study's headline is put into words.

    Attributes:
        claim: `{a}`, `{b}` are the corpora, `{more}` one of `more`, `{amount}` the difference without its sign.
        subject: what is compared, as a noun.
        more: words for a positive and a negative difference.
        listing: the claim part by part; `{parts}` are amounts such as `0.263 more on own`.
        scale: 100 where figures are shares and the sentence speaks of points, else 1.
        unit: after an interval: ` points` or nothing.
        decimals: digits after the point, at least.
        drawn: what the figures are measured on, as a noun.
    """

    claim: str
    subject: str
    more: tuple[str, str]
    listing: str
    scale: float = 100.0
    unit: str = " points"
    decimals: int = 1
    drawn: str = "contexts of text"


WORDINGS = {
    "seeds": Wording(
        "{a}-corpus SAEs share {amount} {more} features across seeds than {b}-corpus SAEs",
        "features shared across seeds",
        ("more", "fewer"),
        "{a}-corpus SAEs share {parts} features across seeds than {b}-corpus SAEs",
    ),
    "fakes": Wording(
        "{a}-corpus SAEs have {more} fake features than {b}-corpus SAEs, by {amount} of all latents",
        "fake features",
        ("more", "fewer"),
        "of fake features, {a}-corpus SAEs have {parts} than {b}-corpus SAEs",
        decimals=2,
        drawn="contexts of text and random tokens",
    ),
    "probes": Wording(
        "probes on the codes of {a}-corpus SAEs are {amount} {more} accurate than on those of {b}-corpus SAEs",
        "the accuracy of probes on the codes",
        ("more", "less"),
        "in accuracy, probes on the codes of {a}-corpus SAEs reach {parts} than those of {b}-corpus SAEs",
        drawn="test examples",
    ),
    "reconstruction": Wording(
        "{a}-corpus SAEs recover {amount} {more} of the cross-entropy than {b}-corpus SAEs",
        "the cross-entropy recovered",
        ("more", "less"),
        "of the cross-entropy, {a}-corpus SAEs recover {parts} than {b}-corpus SAEs",
        scale=1.0,
        unit="",
        decimals=3,
    ),
}


def sentence(study: str, entry: Mapping[str, Any]) -> str:
    """An entry of `inference.judge` in words.

    `own-corpus SAEs share 3.1 points more features across seeds than pile-corpus SAEs (1.2 to 5.0; Holm p 0.01; 6 seeds)`;
    an interval is that of the claim (of `fewer` where it says fewer), otherwise of a − b. A headline on some text begins with
    that text; where it is of several parts, or the parts contradict each other, each is stated with direction and size.
    """
    a, b, metric, difference, ends = (entry[name] for name in ("a", "b", "metric", "difference", "ci95"))
    seeds = [f"{entry['seeds']} seed" + ("" if entry["seeds"] == 1 else "s"), *_left_out(entry["left_out"])]
    if difference is None:
        why = str(entry["verdict"]).removeprefix(f"{UNDECIDED}: ")
        seeds = seeds if why == seeds[0] else [why, *seeds]
        return f"{UNDECIDED}: {metric} of {a} and {b} has no figures to compare ({'; '.join(seeds)})"
    if not entry["headline"]:
        bounds = f"{_plain(ends[0])} to {_plain(ends[1])}" if ends else "no interval"
        few = f"{entry['verdict']}; " if entry["verdict"].startswith(UNDECIDED) else ""
        return f"{few}{metric}, {a} minus {b}: {_plain(difference)} ({'; '.join([bounds, *seeds, EXPLORATORY])})"
    said = entry["verdict"]
    if said in (DEPENDS, DEPENDS_ON_TASK):
        found = f"{said}: {_claimed(study, entry, seeds)}"
    elif said.startswith(UNDECIDED):
        found = f"{said}; {_claimed(study, entry, seeds)}"
    elif said in SIGNIFICANT:
        margin = _size(entry["margin"], WORDINGS[study])
        found = _claimed(study, entry, seeds) + (f", by less than the margin of {margin}" if said != DIFFERS else "")
    else:
        found = _not_told_apart(study, entry, seeds)
    of = _told_apart(entry)
    return found + (f"; one by one: {part_by_part(study, entry, of)}" if of else "")


def part_by_part(study: str, entry: Mapping[str, Any], names: Sequence[str] | None = None) -> str:
    """What a contrast is on each part of the panel (of probes: on each task) alone, with direction, size and interval.

    Args:
        study: whose words.
        entry: of `inference.judge`, with parts.
        names: some of the parts; by default all.
    """
    wording = WORDINGS[study]
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
    listed = " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0]
    return wording.listing.format(a=entry["a"], b=entry["b"], parts=listed)


def too_few(study: str, reach: float, margin: float) -> str:
    """That what was drawn cannot resolve the margin, however many seeds there are: `reach` is half its 95 % interval."""
    wording = WORDINGS[study]
    amount = _number(reach, _decimals([reach], wording), wording) + wording.unit
    return f"the {wording.drawn} alone leave ±{amount} open, more than the margin of {_size(margin, wording)}"


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


def _claimed(study: str, entry: Mapping[str, Any], seeds: Sequence[str]) -> str:
    """The claim with its interval and, where something is decided, its p."""
    wording, difference, ends = WORDINGS[study], entry["difference"], entry["ci95"]
    sign = -1 if difference < 0 else 1
    decimals = _decimals([difference, *(ends or ())], wording)
    amount = _number(abs(difference), decimals, wording) + wording.unit
    claim = wording.claim.format(a=entry["a"], b=entry["b"], amount=amount, more=wording.more[difference < 0])
    bounds = _range(sorted(sign * end for end in ends), decimals, wording) if ends else "no interval"
    p = [] if entry["verdict"].startswith(UNDECIDED) else [f"Holm p {_p(entry['p_holm'])}"]
    on = f"on {text_of(entry)}, " if entry.get("text") else ""
    return f"{on}{claim} ({'; '.join([bounds, *p, *seeds])})"


def _not_told_apart(study: str, entry: Mapping[str, Any], seeds: Sequence[str]) -> str:
    wording, a, b, ends = WORDINGS[study], entry["a"], entry["b"], entry["ci95"]
    measured = _range(ends, _decimals([entry["difference"], *ends], wording), wording) + wording.unit
    about = wording.subject + (f" on {text_of(entry)}" if entry.get("text") else "")
    if entry["verdict"] == SAME:
        return f"{SAME} between {a} and {b} in {about} ({'; '.join([measured, *seeds])})"
    p = f"Holm p {_p(entry['p_holm'])}"
    found = f"{UNCLEAR} {a} and {b} apart in {about} ({'; '.join([measured, p, *seeds])})"
    return found + (f"; {entry['too_little']}" if entry.get("too_little") else "")


def _left_out(seeds: Sequence[int]) -> list[str]:
    if not seeds:
        return []
    return [f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))} left out"]


def _size(value: float, wording: Wording) -> str:
    """A margin in the sentence's unit: `1 point`, `0.005`."""
    number = f"{value * wording.scale:g}"
    return number + (wording.unit.removesuffix("s") if number == "1" else wording.unit)


def _p(p: float) -> str:
    """Two digits, or as many as keep a p from being rounded onto α."""
    if p < 1e-4:
        return "< 0.0001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if float(text) != ALPHA or p == ALPHA)


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


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
