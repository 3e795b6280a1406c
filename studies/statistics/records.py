"""What the statistics of a study look like in its summary.json."""

from typing import Any, NotRequired, TypedDict


class Figure(TypedDict):
    """A mean over seeds, or over pairs of seeds, with its 95 % interval; both standard errors where there are two."""

    value: float | None
    ci95: list[float] | None
    seeds: NotRequired[int]
    error_seeds: NotRequired[float | None]
    error_drawn: NotRequired[float | None]
    left_out: NotRequired[list[int]]


Numbers = dict[str, float | None]
"""Figures of one thing that was measured, by metric; None where one is not defined."""

Measures = dict[str, Any]
"""A corpus' figures by metric: each a `Figure`, or a number or a word that has no interval."""


class Difference(TypedDict, total=False):
    """Two corpora contrasted, a − b; see `studies.statistics.verdicts.judge`."""

    difference: float | None
    ci95: list[float] | None
    error_seeds: float | None
    error_drawn: float | None
    p: float | None
    p_holm: float | None
    verdict: str
    seeds: int


class Contrast(Difference, total=False):
    """The same with all that is said of it, and the same on each part of the panel alone."""

    a: str
    b: str
    metric: str
    text: str
    texts: list[str]
    df: float | None
    headline: bool
    margin: float | None
    sign_flip_p: float | None
    sign_flip_least: float | None
    jackknife_ci95: list[float] | None
    left_out: list[int]
    sentence: str
    parts: dict[str, Difference]
    too_little: str
    position_distance: float


class Beside(TypedDict):
    """A figure of the trained SAEs of a corpus beside that of a control; see `studies.common.controls.beside`.

    `trained` and `of_control` are a `Figure` each; `ahead` is by how much the trained ones are better, with its interval
    (below 0 for the oracle, the truth itself); what follows from it says `studies.statistics.sentences.standing`.
    """

    metric: str
    corpus: str
    control: str
    trained: Measures
    of_control: Measures
    ahead: float | None
    ci95: list[float] | None


class Statistics(TypedDict, total=False):
    """The statistics of the SAEs of one shape."""

    corpora: dict[str, Measures]
    contrasts: list[Contrast]
    texts: dict[str, list[str]]
    conditional_on: str
    beside: list[Beside]
