"""The figures of `faithful study fakes`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studies.drawing import colours, new_figure, save

FLOOR = 1e-5


def draw(summary: dict[str, Any], cells: Sequence[dict[str, Any]], folder: Path) -> None:
    """Draw everything into `folder`.

    Args:
        summary: of the study.
        cells: of each SAE its `densities` (on random tokens and on text, per latent) and its `corpus`.
        folder: of the figures.
    """
    names = list(summary["corpora"])
    hue = colours(names)
    _scatter(names, cells, hue, folder / "contrast.svg")
    _sweeps(summary["sweeps"], hue, folder / "sweeps.svg")


def _scatter(names: list[str], cells: Sequence[dict[str, Any]], hue: dict[str, str], path: Path) -> None:
    """Density on random tokens against density on text, a dot per latent of one SAE per corpus; fake ones are below right."""
    figure, axes = new_figure(2.9, 1, len(names))
    for one, name in zip(np.atleast_1d(axes), names, strict=True):
        cell = next(cell for cell in cells if cell["corpus"] == name)
        points = np.maximum(np.array(cell["densities"]), FLOOR)
        one.scatter(points[:, 0], points[:, 1], s=4, color=hue[name], alpha=0.5, linewidths=0, rasterized=False)
        one.axvline(0.01, color="black", linewidth=0.5)
        one.axhline(0.001, color="black", linewidth=0.5)
        one.set(xscale="log", yscale="log", xlim=(FLOOR / 2, 1), ylim=(FLOOR / 2, 1), xlabel="density on random tokens")
        one.set_title(name, fontsize=9, loc="left")
    np.atleast_1d(axes)[0].set_ylabel("density on text")
    save(figure, path)


def _sweeps(sweeps: dict[str, Any], hue: dict[str, str], path: Path) -> None:
    """Share of fake latents against p."""
    figure, axes = new_figure(2.8, 1, 2)
    for one, (sweep, title) in zip(
        axes, (("sweep_contrast", "fires on noise, not on text"), ("sweep_density", "fires on noise")), strict=True
    ):
        for name, points in sweeps[sweep].items():
            at = [float(p) for p in points]
            one.plot(
                at, [point["value"] for point in points.values()], marker="o", markersize=3, color=hue[name], label=name
            )
        one.axvline(0.01, color="black", linewidth=0.5)
        one.set(xscale="log", xlabel="density p on random tokens", ylabel="share of latents")
        one.set_ylim(bottom=0)
        one.set_title(title, fontsize=9, loc="left")
        one.grid(linewidth=0.3)
    axes[0].legend(fontsize=8, frameon=False)
    save(figure, path)
