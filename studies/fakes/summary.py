"""What `faithful study fakes` leaves in its summary.json, beside what every study does, and keeps of each SAE."""

from typing import TypedDict

from studies.common.results import Summary
from studies.statistics.records import Figure, Statistics

OverP = dict[str, Figure]
"""Shares by p."""


class Sweeps(TypedDict):
    """Shares of fake latents over the rules' thresholds, by corpus; over τ and p last."""

    sweep_contrast: dict[str, OverP]
    sweep_density: dict[str, OverP]
    sweep_tau: dict[str, dict[str, OverP]]
    silent_on_panel: dict[str, Figure]


class FakesStatistics(Statistics, total=False):
    """Of the SAEs of one shape."""

    sweeps: Sweeps


class FakesSummary(Summary, FakesStatistics, total=False):
    """All of it."""


class TopFake(TypedDict):
    """A fake latent and its densities on random tokens and on text."""

    latent: int
    noise: float
    panel: float


class FakeCell(TypedDict):
    """An SAE's shares by rule, sweep, control and part of the panel; `resampled` under each resample of the contexts;
    `densities` on random tokens and on text per latent."""

    figures: dict[str, float | None]
    resampled: dict[str, list[float]]
    l0_noise: float
    l0_panel: float
    silent_on_panel: int
    sweep_contrast: dict[str, float]
    sweep_density: dict[str, float]
    sweep_tau: dict[str, dict[str, float]]
    parts: dict[str, float]
    parts_resampled: dict[str, list[float]]
    top_fakes: list[TopFake]
    densities: list[list[float]]
