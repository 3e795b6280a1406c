"""What `faithful study fakes` leaves in its summary.json, beside what every study does, and keeps of each SAE."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Contrast, Figure, Statistics

OverP = dict[str, Figure]
"""Shares by p."""


class Sweeps(TypedDict):
    """Shares of fake latents over the rules' thresholds, by corpus; over τ and p last."""

    sweep_contrast: dict[str, OverP]
    sweep_density: dict[str, OverP]
    sweep_tau: dict[str, dict[str, OverP]]
    silent_on_panel: dict[str, Figure]


class ForeignStatistics(TypedDict):
    """What fires strongly, by corpus of the SAEs and then by text: `foreign` to it, or `woken` by it; over p by corpus; the
    contrasts of the own corpus with each other one, a Holm family of their own."""

    foreign: dict[str, dict[str, Figure]]
    woken: dict[str, dict[str, Figure]]
    sweep_foreign: dict[str, OverP]
    contrasts: list[Contrast]


class FakesStatistics(Statistics, total=False):
    """Of the SAEs of one shape."""

    sweeps: Sweeps
    foreign: ForeignStatistics


class FakesSummary(Summary, FakesStatistics, total=False):
    """All of it."""


class TopFake(TypedDict):
    """A fake latent and its densities on random tokens and on text."""

    latent: int
    noise: float
    panel: float


class ForeignCell(TypedDict):
    """What of an SAE fires strongly, by text: shares of the latents `foreign` to it, and `woken` by it; both under each
    resample of the contexts; foreign to it over p; its L0 as a multiple of that on the SAE's own text, of an SAE without a
    fixed k alone. `strong_own` are those that fire strongly on their own text often enough to be foreign to another."""

    strong_own: float
    foreign: dict[str, float]
    foreign_resampled: dict[str, list[float | None]]
    woken: dict[str, float]
    woken_resampled: dict[str, list[float | None]]
    sweep_foreign: dict[str, dict[str, float]]
    l0_ratio: dict[str, float]


class FakeCell(TypedDict):
    """An SAE's shares by rule, sweep, control and part of the panel; `resampled` under each resample of the contexts, None
    where that holds no token;
    `foreign` where its own text is in the panel; `densities` on random tokens and on text per latent."""

    figures: dict[str, float | None]
    resampled: dict[str, list[float | None]]
    l0_noise: float
    l0_panel: float
    silent_on_panel: int
    sweep_contrast: dict[str, float]
    sweep_density: dict[str, float]
    sweep_tau: dict[str, dict[str, float]]
    parts: dict[str, float]
    parts_resampled: dict[str, list[float | None]]
    top_fakes: list[TopFake]
    foreign: ForeignCell | None
    densities: list[list[float]]
