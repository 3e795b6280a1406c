"""What `faithful study probes` leaves in its summary.json, beside what every study does, and keeps of each SAE and task."""

from typing import Any, Literal, TypedDict

from studies.common.results import Summary
from studies.statistics.records import Statistics

Score = Literal["accuracy", "macro_f1"]
Silence = Literal["silent", "hole", "hole_chance"]


class Entry(TypedDict, total=False):
    """A probe of an SAE, or of the activations alone, on a task; what it holds beside `input`, `probe`, `size` and `k`, which
    every one has, say `studies.probes.score.probe_cell` and `studies.probes.silence.silence_entry`."""

    input: str
    probe: str
    size: int
    k: int | None
    accuracy: float
    accuracy_ci95: list[float]
    macro_f1: float
    macro_f1_ci95: list[float]
    right: str
    c: float
    c_at_edge: bool
    latents: list[int]
    weights: str
    silent: float
    hole: float | None
    hole_chance: float | None
    classes: dict[str, dict[str, float]]


class BaselinePoint(TypedDict, total=False):
    """A probe on the activations alone, of so many training examples (`size`) or dimensions (`k`)."""

    size: int
    k: int
    accuracy: float
    macro_f1: float


class Baseline(TypedDict):
    """The probe on the activations alone, over training sizes and over dimensions."""

    accuracy: float
    accuracy_ci95: list[float]
    macro_f1: float
    macro_f1_ci95: list[float]
    c: float
    curve: list[BaselinePoint]
    k_sparse: list[BaselinePoint]


OnTask = dict[str, Any]
"""A corpus' SAEs on a task: figures by metric over training sizes, on codes `f` and reconstructions `h_hat`, and over k."""


class ProbesStatistics(Statistics, total=False):
    """Of the SAEs of one shape."""

    by_task: dict[str, dict[str, OnTask]]


class WordsFound(TypedDict):
    """What words alone tell on a task; see `studies.probes.words`."""

    accuracy: float
    accuracy_ci95: list[float]
    macro_f1: float
    c: float
    words: int


class TaskFound(TypedDict):
    """What is known of a task: where it is from, its examples, its floors (`majority`, `words`) and its baseline.

    `overlap` is by corpus and side: examples that stand in the corpus' training text.
    """

    about: str
    place: str
    kind: str
    revision: str | None
    remarks: str
    labels: list[str]
    train: int
    test: int
    train_groups: int | None
    test_groups: int | None
    folds_of: str
    mean_characters: float
    left_out: dict[str, int]
    majority: float
    words: WordsFound
    ceiling: bool
    baseline: Baseline
    c_at_edge: float
    overlap: dict[str, dict[str, dict[str, int]]]


class ProbesSizes(TypedDict):
    """What was used: examples and learning curve of each task, and how probes are trained and scored."""

    saes: int
    train: dict[str, int]
    test: dict[str, int]
    curve: dict[str, list[int]]
    ks: list[int]
    folds: int
    cs: list[float]
    pooling: str
    context: int
    bootstrap_draws: int
    overlap_run_tokens: int


class ProbesSummary(Summary, ProbesStatistics, total=False):
    """All of it; `unmarked` are the tasks that are not at their ceiling."""

    tasks: dict[str, TaskFound]
    unmarked: list[str]
