"""The figures of `faithful study fakes`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studies.common.drawing import colours, new_figure, save
from studies.common.foreign import RULE
from studies.fakes.foreign import NOISE
from studies.fakes.summary import FakeCell, FakesSummary, ForeignStatistics, OverP, Sweeps

FLOOR, DOTS = 1e-5, 200
COLUMNS = 3


def draw(summary: FakesSummary, cells: Mapping[str, FakeCell], folder: Path) -> None:
    """Draw everything into `folder`.

    Args:
        summary: of the study.
        cells: of one SAE of each corpus, by its name.
        folder: of the figures.
    """
    names = list(summary["corpora"])
    hue = colours(names)
    _scatter(names, cells, hue, folder / "contrast.svg")
    _sweeps(summary["sweeps"], hue, folder / "sweeps.svg")
    if any(summary["foreign"]["foreign"].values()):
        _foreign(summary["foreign"], hue, folder / "foreign.svg")


def _scatter(names: list[str], cells: Mapping[str, FakeCell], hue: dict[str, str], path: Path) -> None:
    """Density on random tokens against density on text, a dot per latent of one SAE per corpus; fake ones are below right.

    The dots are a picture inside the SVG, whose size does not grow with their number.
    """
    figure, axes = new_figure(2.9, 1, len(names))
    figure.set_dpi(DOTS)
    for one, name in zip(np.atleast_1d(axes), names, strict=True):
        points = np.maximum(np.array(cells[name]["densities"]), FLOOR)
        one.scatter(points[:, 0], points[:, 1], s=4, color=hue[name], alpha=0.5, linewidths=0, rasterized=True)
        one.axvline(0.01, color="black", linewidth=0.5)
        one.axhline(0.001, color="black", linewidth=0.5)
        one.set(xscale="log", yscale="log", xlim=(FLOOR / 2, 1), ylim=(FLOOR / 2, 1), xlabel="density on random tokens")
        one.set_title(name, fontsize=9, loc="left")
    np.atleast_1d(axes)[0].set_ylabel("density on text")
    save(figure, path)


def _sweeps(sweeps: Sweeps, hue: dict[str, str], path: Path) -> None:
    """Share of fake latents against p: for the two rules without a threshold, and above each τ."""
    panels: dict[str, dict[str, OverP]] = {
        "fires on noise, not on text": sweeps["sweep_contrast"],
        "fires on noise": sweeps["sweep_density"],
    }
    taus = next(iter(sweeps["sweep_tau"].values()))
    for tau in taus:
        title = f"above τ = {tau}" if not tau.startswith("q") else f"above its {float(tau[1:]):.0%} quantile on text"
        panels[title] = {name: by_tau[tau] for name, by_tau in sweeps["sweep_tau"].items()}
    lines = -(-len(panels) // COLUMNS)
    figure, grid = new_figure(0.4 + 2.1 * lines, lines, COLUMNS)
    for one, (title, of) in zip(grid.flat, panels.items(), strict=False):
        for name, points in of.items():
            at, values = [float(p) for p in points], [point["value"] for point in points.values()]
            one.plot(at, values, marker="o", markersize=2.5, linewidth=1.1, color=hue[name], label=name)
        one.axvline(0.01, color="black", linewidth=0.5)
        one.set(xscale="log")
        one.set_ylim(bottom=0)
        one.set_title(title, fontsize=8, loc="left")
        one.grid(linewidth=0.3)
    for one in grid.flat[len(panels) :]:
        one.set_axis_off()
    for row in np.atleast_2d(grid):
        row[0].set_ylabel("share of latents")
    for one in np.atleast_2d(grid)[-1]:
        one.set_xlabel("density p on random tokens")
    grid.flat[0].legend(fontsize=7, frameon=False)
    save(figure, path)


def _foreign(found: ForeignStatistics, hue: dict[str, str], path: Path) -> None:
    """Shares foreign to each text and woken by it, a dot per corpus of the SAEs with its interval; foreign ones over p."""
    figure, (foreign, woken, over_p) = new_figure(2.6, 1, COLUMNS)
    for axes, by_corpus, title in (
        (foreign, found["foreign"], "foreign to"),
        (woken, found["woken"], "woken by"),
    ):
        there = dict.fromkeys(text for of in by_corpus.values() for text in of)
        texts = sorted(there, key=lambda text: [NOISE, *by_corpus, text].index(text))
        for shift, (name, of) in enumerate(by_corpus.items()):
            at = [texts.index(text) + 0.14 * (shift - (len(by_corpus) - 1) / 2) for text in of]
            values = 100 * np.array([point["value"] for point in of.values()], float)
            spans: list[Any] = [point["ci95"] or [point["value"]] * 2 for point in of.values()]
            ends = 100 * np.array(spans, float)
            bars = np.clip([values - ends[:, 0], ends[:, 1] - values], 0, None)
            axes.errorbar(values, at, xerr=bars, fmt="o", markersize=3.5, linewidth=1, color=hue[name], label=name)
        axes.set_yticks(range(len(texts)), texts)
        axes.set_ylim(len(texts) - 0.5, -0.5)
        axes.set_xlim(left=-0.03 * axes.get_xlim()[1])
        axes.set_xlabel("% of latents")
        axes.set_title(title, fontsize=8, loc="left")
    for name, points in found["sweep_foreign"].items():
        shown = {float(p): 100 * point["value"] for p, point in points.items() if point["value"] is not None}
        over_p.plot(list(shown), list(shown.values()), marker="o", markersize=2.5, linewidth=1.1, color=hue[name])
    over_p.axvline(RULE.often, color="black", linewidth=0.5)
    over_p.set(xscale="log", xlabel="p")
    over_p.set_ylim(bottom=0)
    over_p.set_ylabel("% of latents")
    over_p.set_title("foreign to the others, over p", fontsize=8, loc="left")
    foreign.legend(fontsize=7, frameon=False)
    save(figure, path)
