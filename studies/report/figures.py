"""The figures that the report draws itself: training curves, PIT histograms, positions of the contexts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faithful.store.corpus import Manifest
from faithful.store.saes import TrainedSae
from studies.common.drawing import colours, new_figure, save
from studies.report.found import training_log

COLUMNS = 3


def draw_training(saes: Sequence[TrainedSae], path: Path) -> bool:
    """Loss, latents that fire and dead latents along training, a row per shape, a thin line per SAE, dashed on held-out text
    (variance unexplained, latents that fire, those that never fire there) where that was looked at; False where no SAE has a
    log."""
    logs = [(sae, points) for sae in saes if len(points := [p for p in training_log(sae) if "step" in p]) > 1]
    if not logs:
        return False
    hue = colours(list(dict.fromkeys(sae.corpus for sae, _ in logs)))
    shapes = list(dict.fromkeys(sae.shape_folder for sae, _ in logs))
    figure, grid = new_figure(0.6 + 2.1 * len(shapes), len(shapes), 3)
    for shape, axes in zip(shapes, np.reshape(grid, (-1, 3)), strict=True):
        for one, metric, looked, title in (
            (axes[0], "fvu", "held_out_fvu", "share of variance unexplained"),
            (axes[1], "l0", "held_out_l0", "latents that fire per token"),
            (axes[2], "dead_in_training", "held_out_never_fired", "latents dead in training"),
        ):
            labelled: set[str] = set()
            for sae, points in logs:
                known = [(p["step"], p[metric]) for p in points if p.get(metric) is not None]
                if sae.shape_folder != shape or not known:
                    continue
                label = None if sae.corpus in labelled else sae.corpus
                labelled.add(sae.corpus)
                one.plot(*zip(*known, strict=True), color=hue[sae.corpus], linewidth=0.9, alpha=0.75, label=label)
                held_out = [(p["step"], p[looked]) for p in points if p.get(looked) is not None]
                if held_out:
                    one.plot(
                        *zip(*held_out, strict=True), color=hue[sae.corpus], linewidth=0.9, linestyle="--", marker="."
                    )
            one.set_title(title, fontsize=8, loc="left")
            one.set(xlabel="step", ylim=(0, None))
            one.grid(linewidth=0.3)
        axes[0].set_ylabel(shape, fontsize=7)
        axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    save(figure, path)
    return True


def draw_pit(certificates: Mapping[str, Mapping[str, Any]], path: Path) -> bool:
    """PIT histogram of each corpus with the band that chance allows; False where there is none.

    Args:
        certificates: of each corpus what its certificate, or the study of corpora, says.
        path: of the SVG.
    """
    shown = {name: found for name, found in certificates.items() if found.get("pit_counts")}
    if not shown:
        return False
    hue = colours(list(certificates))
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = new_figure(0.2 + 1.75 * rows, rows, columns)
    axes = np.ravel(grid)
    for one, (name, found) in zip(axes, shown.items(), strict=False):
        edges, counts = np.array(found["pit_edges"]), np.array(found["pit_counts"], dtype=float)
        widths, total = np.diff(edges), max(counts.sum(), 1.0)
        density = counts / total / widths
        spread = 1.96 * np.sqrt((1 - widths) / (widths * total))
        low, high = (np.append(values, values[-1]) for values in (1 - spread, 1 + spread))
        one.bar(edges[:-1], density, widths, align="edge", color=hue[name], edgecolor="white", linewidth=0.3)
        one.fill_between(edges, low, high, step="post", color="black", alpha=0.16, linewidth=0)
        one.axhline(1, color="black", linewidth=0.7)
        one.set(xlim=(0, 1), ylim=(0, max(1.3, 1.05 * float(density.max()))))
        one.set_title(name, fontsize=9, loc="left")
    for one in axes[len(shown) :]:
        one.set_visible(False)
    save(figure, path)
    return True


def draw_positions(shares: Mapping[str, np.ndarray], path: Path) -> bool:
    """Share of each corpus' training tokens that stand at each position of their contexts.

    Args:
        shares: see `position_counts`.
        path: of the SVG.
    """
    hue = colours(list(shares))
    figure, axes = new_figure(2.4)
    for name, counts in shares.items():
        places = np.arange(1, len(counts) + 1)
        axes.plot(places, counts / max(1, counts.sum()), color=hue[name], label=name, linewidth=1.4)
    axes.set(xlabel="position in the context (BOS is 0)", ylabel="share of tokens", ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=3)
    axes.grid(linewidth=0.3)
    save(figure, path)
    return True


def position_counts(manifest: Manifest, context: int) -> np.ndarray:
    """How many training tokens of a corpus stand at each position of aligned contexts.

    Args:
        manifest: of the corpus.
        context: tokens per context, BOS included.

    Returns:
        int64 [context − 1], for the positions 1 to context − 1.
    """
    counts = np.zeros(context, np.int64)
    for shard in manifest.shards["train"]:
        for length, documents in shard.statistics.get("lengths", {}).items():
            counts[1 : min(int(length), context - 1) + 1] += documents
    return counts[1:]
