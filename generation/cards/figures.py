"""The picture on the card: the histogram of the randomised probability-integral transform."""

from pathlib import Path

import numpy as np

from faithful.base.files import write_atomically
from faithful.store.manifest_parts import Certificate

COLOUR = "#3465a4"


def pit_figure(certificate: Certificate, path: Path) -> None:
    """Draw the PIT histogram of a certificate into a PNG: density per cell, with the band that chance allows.

    The two edge cells [0, .01] and [.99, 1] are drawn as they are: narrow bars.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    edges, counts = np.array(certificate["pit_edges"]), np.array(certificate["pit_counts"], dtype=float)
    widths, total = np.diff(edges), max(counts.sum(), 1)
    density = counts / total / widths
    spread = 1.96 * np.sqrt((1 - widths) / (widths * total))
    figure = Figure(figsize=(7.2, 3.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(edges[:-1], density, widths, align="edge", color=COLOUR, edgecolor="white", linewidth=0.6)
    low, high = (np.append(values, values[-1]) for values in (1 - spread, 1 + spread))
    axes.fill_between(edges, low, high, step="post", color="black", alpha=0.16, linewidth=0, label="95 % by chance")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, max(1.3, 1.05 * float(density.max()))), xlabel="u: mass of more probable tokens")
    axes.set_ylabel("density")
    axes.set_title(f"{certificate['verdict']} · {certificate['tokens_scored']:,} tokens", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": ""}))
