"""The figures of `faithful study seeds`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studies.common.drawing import colours, new_figure, save
from studies.seeds.chance import highest_floor
from studies.seeds.matching import CURVE
from studies.seeds.summary import SeedsStatistics

DASHES = {"floor_random": (1, 1), "floor_covariance": (3, 1), "floor_init": (5, 2), "floor_gaussian": (6, 1, 1, 1)}


@dataclass(frozen=True)
class Curve:
    """Shared feature ratio of a corpus at the thresholds of `CURVE`: mean, interval (None where there is none), floors."""

    mean: list[float | None]
    low: list[float] | None
    high: list[float] | None
    floors: dict[str, list[float]]


def draw(
    curves: Mapping[str, Curve],
    histograms: dict[str, np.ndarray],
    across: dict[tuple[str, str], float | None],
    folder: Path,
) -> None:
    """Draw everything into `folder`.

    Args:
        curves: of each corpus.
        histograms: of each corpus the counts of matched cosines in equal bins of [−0.2, 1].
        across: mean shared feature ratio of each two corpora, by (corpus, other), the same corpus included.
        folder: of the figures.
    """
    names = list(histograms)
    hue = colours(names)
    if names:
        _curves(curves, names, hue, folder / "sfr_curves.svg")
        _histograms(histograms, hue, folder / "matched_cosines.svg")
    everyone = list(dict.fromkeys(one for one, _ in across))
    if len(everyone) > 1:
        _across(across, everyone, folder / "across_corpora.svg")


def draw_stability(summary: SeedsStatistics, folder: Path) -> None:
    """Draw how probably latents reappear against their density, where there is a panel; beside it the chance level."""
    curves = {name: of["reappearance"] for name, of in summary.get("stability", {}).items() if "reappearance" in of}
    if not curves:
        return
    figure, axes = new_figure(2.8)
    for name, hue in colours(list(curves)).items():
        fires = [one for one in curves[name] if one["density"] > 0]
        axes.plot(
            [one["density"] for one in fires],
            [one["value"] for one in fires],
            color=hue, label=name, linewidth=1.4, marker="o", markersize=3,
        )  # fmt: skip
        chance = highest_floor(summary["corpora"].get(name, {}))
        if chance is not None:
            axes.axhline(chance, color=hue, linewidth=0.9, dashes=(3, 1))
    axes.set(xlabel="density on the panel, at most (dashed: by chance)", ylabel="probability to reappear", xscale="log")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(linewidth=0.3)
    save(figure, folder / "reappearance.svg")


def _curves(curves: Mapping[str, Curve], names: list[str], hue: dict[str, str], path: Path) -> None:
    """Shared feature ratio against the threshold, with interval and floors."""
    figure, axes = new_figure(3.1)
    for name in names:
        found = curves[name]
        axes.plot(CURVE, found.mean, color=hue[name], label=name, linewidth=1.6)
        if found.low is not None:
            axes.fill_between(CURVE, found.low, found.high, color=hue[name], alpha=0.18, linewidth=0)
        for floor, values in found.floors.items():
            own = floor in ("floor_covariance", "floor_gaussian")
            colour = hue[name] if own else "#777777"
            label = f"{floor.removeprefix('floor_')} floor" if name == names[0] else None
            if own or name == names[0]:
                axes.plot(CURVE, values, color=colour, linewidth=0.9, dashes=DASHES[floor], label=label)
    axes.axvline(0.7, color="black", linewidth=0.5)
    axes.set(xlabel="cosine above which a matched pair counts as shared", ylabel="share of latents")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.grid(linewidth=0.3)
    save(figure, path)


def _histograms(histograms: dict[str, np.ndarray], hue: dict[str, str], path: Path) -> None:
    """How alike matched decoder rows are."""
    figure, axes = new_figure(2.6)
    for name, counts in histograms.items():
        edges = np.linspace(-0.2, 1, len(counts) + 1)
        axes.stairs(counts / max(1, counts.sum()), edges, color=hue[name], label=name, linewidth=1.3)
    axes.axvline(0.7, color="black", linewidth=0.5)
    axes.set(xlabel="cosine of matched decoder rows", ylabel="share of latents")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    save(figure, path)


def _across(across: dict[tuple[str, str], float | None], names: list[str], path: Path) -> None:
    """Shared feature ratio of every two corpora; the diagonal is within a corpus."""
    figure, axes = new_figure(1.2 + 0.42 * len(names), width=2.2 + 0.7 * len(names))
    values = np.array([[across[one, other] for other in names] for one in names], dtype=float)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            value = values[row, column]
            colour = "white" if value > 0.55 else "black"
            axes.text(
                column,
                row,
                "" if np.isnan(value) else f"{value:.2f}",
                ha="center",
                va="center",
                color=colour,
                fontsize=8,
            )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_title("shared feature ratio, other seeds", fontsize=9, loc="left")
    save(figure, path)
