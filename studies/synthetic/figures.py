"""The figures of `faithful study synthetic`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from studies.common.drawing import MARKERS, PALETTE, label_points, new_figure, save
from studies.statistics.records import Figure
from studies.synthetic.planted import QUANTILES, SHARES, WITH
from studies.synthetic.summary import SyntheticSummary
from studies.synthetic.truths import FOREIGN

SAID: dict[Literal["found", "flagged_else"], str] = {"found": "found", "flagged_else": "others flagged"}


def draw(summary: SyntheticSummary, folder: Path) -> None:
    """Draw everything into `folder`."""
    _recovery(summary, folder / "recovery.svg")
    _agreement(summary, folder / "agreement.svg")
    if summary["planted"]:
        _planted(summary, folder / "planted.svg")


def _recovery(summary: SyntheticSummary, path: Path) -> None:
    """Recovery over fvu, a point per variant: above left is better."""
    figure, grid = new_figure(3.2, 1, len(summary["truths"]))
    for axes, (truth, names) in zip(np.atleast_1d(grid), summary["truths"].items(), strict=True):
        at = [(_value(summary, name, "fvu"), _value(summary, name, "recovery")) for name in names]
        points = [(x, y) for x, y in at if x is not None and y is not None]
        labels = [name.removesuffix(f" on {truth}") for name, one in zip(names, at, strict=True) if None not in one]
        for place, (x, y) in enumerate(points):
            axes.plot(x, y, MARKERS[place % len(MARKERS)], color=PALETTE[place % len(PALETTE)], markersize=4)
        axes.set(xlabel="fraction of variance unexplained", xscale="log")
        axes.set_title(truth, fontsize=9, loc="left")
        axes.margins(0.15)
        if points:
            label_points(axes, labels, points, size=6)
    np.atleast_1d(grid)[0].set_ylabel("true features found")
    save(figure, path)


def _agreement(summary: SyntheticSummary, path: Path) -> None:
    """Share of true ones among shared latents and among others, two points per variant."""
    most = max(len(names) for names in summary["truths"].values())
    figure, grid = new_figure(0.8 + 0.18 * most, 1, len(summary["truths"]))
    for axes, (truth, names) in zip(np.atleast_1d(grid), summary["truths"].items(), strict=True):
        labels = [name.removesuffix(f" on {truth}") for name in names]
        for place, (metric, said) in enumerate({"true_shared": "shared", "true_unshared": "not shared"}.items()):
            values = [_value(summary, name, metric) for name in names]
            axes.plot(
                [np.nan if value is None else value for value in values],
                labels,
                MARKERS[place],
                color=PALETTE[place],
                markersize=4,
                label=said,
            )
        axes.set(xlim=(-0.02, 1.02), xlabel="share of true latents")
        axes.tick_params(axis="y", labelsize=7)
        axes.invert_yaxis()
        axes.grid(linewidth=0.3)
        axes.set_title(truth, fontsize=9, loc="left")
    np.atleast_1d(grid)[-1].legend(fontsize=7, frameon=False)
    save(figure, path)


def _planted(summary: SyntheticSummary, path: Path) -> None:
    """Foreign latents found, and others flagged, over the share of the high quantile; a line per quantile."""
    names = list(summary["planted"])
    figure, grid = new_figure(0.5 + 1.7 * len(names), len(names), 2)
    for row, name in zip(np.atleast_2d(grid), names, strict=True):
        sweep = summary["planted"][name][WITH]["sweep"]
        for axes, (what, said) in zip(row, SAID.items(), strict=True):
            for place, quantile in enumerate(QUANTILES):
                values = [sweep[f"{quantile:g} {share:g}"][FOREIGN][what]["value"] for share in SHARES]
                shown = [np.nan if value is None else value for value in values]
                axes.plot(
                    SHARES, shown, MARKERS[place], ls="-", color=PALETTE[place], markersize=3, label=f"{quantile:g}"
                )
            axes.set(xlabel="share of the quantile", ylabel=said, ylim=(-0.03, 1.03) if what == "found" else None)
            axes.set_title(name, fontsize=9, loc="left")
            axes.grid(linewidth=0.3)
    np.atleast_2d(grid)[0][0].legend(fontsize=7, frameon=False, title="quantile", title_fontsize=7)
    save(figure, path)


def _value(summary: SyntheticSummary, name: str, metric: str) -> float | None:
    found: Mapping[str, Figure] = summary["corpora"][name]
    return found[metric]["value"] if metric in found else None
