"""What a contrast says, in a sentence: the verdicts, one wording per study, numbers with as many digits as they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ALPHA = 0.05
DIFFERS, DIFFERS_LITTLE = "differs", "differs by less than the margin"
SAME, UNCLEAR, EXPLORATORY = "no relevant difference", "cannot tell", "exploratory"
UNDECIDED = "cannot be decided"


@dataclass(frozen=True)
class Wording:
    """How a study's headline is put into words.

    Attributes:
        claim: `{a}`, `{b}` are the corpora, `{more}` one of `more`, `{amount}` the difference without its sign.
        subject: what is compared, as a noun.
        more: words for a positive and a negative difference.
        scale: 100 where figures are shares and the sentence speaks of points, else 1.
        unit: after an interval: ` points` or nothing.
        decimals: digits after the point, at least.
    """

    claim: str
    subject: str
    more: tuple[str, str]
    scale: float = 100.0
    unit: str = " points"
    decimals: int = 1


WORDINGS = {
    "seeds": Wording(
        "{a}-corpus SAEs share {amount} {more} features across seeds than {b}-corpus SAEs",
        "features shared across seeds",
        ("more", "fewer"),
    ),
    "fakes": Wording(
        "{a}-corpus SAEs have {more} fake features than {b}-corpus SAEs, by {amount} of all latents",
        "fake features",
        ("more", "fewer"),
        decimals=2,
    ),
    "probes": Wording(
        "probes on the codes of {a}-corpus SAEs are {amount} {more} accurate than on those of {b}-corpus SAEs",
        "the accuracy of probes on the codes",
        ("more", "less"),
    ),
    "reconstruction": Wording(
        "{a}-corpus SAEs recover {amount} {more} of the cross-entropy than {b}-corpus SAEs",
        "the cross-entropy recovered",
        ("more", "less"),
        scale=1.0,
        unit="",
        decimals=3,
    ),
}


def sentence(study: str, entry: Mapping[str, Any]) -> str:
    """An entry of `inference.judge` in words.

    `own-corpus SAEs share 3.1 points more features across seeds than pile-corpus SAEs (1.2 to 5.0; Holm p 0.01; 6 seeds)`;
    an interval is that of the claim (of `fewer` where it says fewer), otherwise of a − b.
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
    wording, said = WORDINGS[study], entry["verdict"]
    sign = -1 if difference < 0 else 1
    decimals = _decimals([difference, *(ends or ())], wording)
    amount = _number(abs(difference), decimals, wording) + wording.unit
    claim = wording.claim.format(a=a, b=b, amount=amount, more=wording.more[difference < 0])
    claimed = _range(sorted(sign * end for end in ends), decimals, wording) if ends else "no interval"
    if said.startswith(UNDECIDED):
        return f"{said}; {claim} ({'; '.join([claimed, *seeds])})"
    p = f"Holm p {_p(entry['p_holm'])}"
    if said in (DIFFERS, DIFFERS_LITTLE):
        little = f", by less than the margin of {_size(entry['margin'], wording)}" if said == DIFFERS_LITTLE else ""
        return f"{claim} ({'; '.join([claimed, p, *seeds])}){little}"
    measured = _range(ends, decimals, wording) + wording.unit
    if said == SAME:
        return f"{SAME} between {a} and {b} in {wording.subject} ({'; '.join([measured, *seeds])})"
    return f"{UNCLEAR} {a} and {b} apart in {wording.subject} ({'; '.join([measured, p, *seeds])})"


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
