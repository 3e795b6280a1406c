"""The figures of `faithful study reconstruction`."""

from pathlib import Path

import numpy as np

from studies.common.drawing import colours, new_figure, save
from studies.reconstruction.summary import Matrix, ReconstructionSummary

TITLES = {
    "fvu": "fraction of variance unexplained",
    "ce_diff": "cross-entropy added (nats/token)",
    "ce_recovered": "cross-entropy recovered",
    "kl": "KL to the clean model (nats/token)",
}


def draw(summary: ReconstructionSummary, folder: Path) -> None:
    """Draw the matrices as heat maps and the ladder of k into `folder`."""
    _matrices(summary["matrices"], folder / "matrices.svg")
    ladder = summary["reduced_k"]
    if all(len(values) > 1 for values in ladder.values()):
        _ladder(ladder, folder / "reduced_k.svg")


def _matrices(matrices: dict[str, Matrix], path: Path) -> None:
    """Training corpus (row) against text (column), one map per metric."""
    first = next(iter(matrices.values()))
    rows, columns = list(first), list(next(iter(first.values())))
    figure, axes = new_figure(1.6 + 0.8 * len(rows), 2, 2)
    for one, (metric, matrix) in zip(axes.flat, matrices.items(), strict=True):
        values = np.array([[matrix[row][column]["value"] for column in columns] for row in rows], dtype=float)
        worse = values if metric != "ce_recovered" else -values
        one.imshow(worse, cmap="Oranges", aspect="auto")
        middle = np.nanmin(worse) + 0.6 * (np.nanmax(worse) - np.nanmin(worse))
        for place in np.ndindex(values.shape):
            colour = "white" if worse[place] > middle else "black"
            one.text(place[1], place[0], f"{values[place]:.3g}", ha="center", va="center", color=colour, fontsize=7)
        one.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        one.set_yticks(range(len(rows)), rows)
        one.set_title(TITLES[metric], fontsize=9, loc="left")
    save(figure, path)


def _ladder(ladder: dict[str, Matrix], path: Path) -> None:
    """fvu and ce_recovered on the panel against k."""
    figure, axes = new_figure(2.8, 1, 2)
    hue = colours(list(ladder))
    for one, metric in zip(axes, ("fvu", "ce_recovered"), strict=True):
        for name, values in ladder.items():
            ks = sorted(values, key=float)
            points = [values[k][metric] for k in ks]
            at = [float(k) for k in ks]
            one.plot(at, [point["value"] for point in points], marker="o", markersize=4, color=hue[name], label=name)
            if all(point["ci95"] for point in points):
                low, high = zip(*(point["ci95"] for point in points), strict=True)
                one.fill_between(at, low, high, color=hue[name], alpha=0.18, linewidth=0)
        one.set(xlabel="latents kept per token")
        one.set_xscale("log", base=2)
        one.set_title(TITLES[metric], fontsize=9, loc="left")
        one.grid(linewidth=0.3)
    axes[0].legend(fontsize=8, frameon=False)
    save(figure, path)
