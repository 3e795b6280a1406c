"""The picture on the card: histograms of the randomised probability-integral transform, the corpus' and a flawed one's."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.files import write_atomically
from faithful.store.manifest_parts import Certificate

COLOUR, FLAWED_COLOUR = "#3465a4", "#8f5902"
FLAWED = "flawed_pit.json"
"""The flawed example in `data_cards`; `benchmarks.makers.make_flawed_pit` makes it."""


def pit_figure(certificate: Certificate, path: Path) -> None:
    """Draw the PIT histogram of a certificate into a PNG: density per cell, with the band that chance allows.

    Beside it, on the same axis, is one of text that is not what it is declared to be. The two edge cells [0, .01] and
    [.99, 1] are drawn as they are: narrow bars.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    flawed: dict[str, Any] = json.loads((resources.files("data_cards") / FLAWED).read_text(encoding="utf-8"))
    declared = f"{flawed['model']} at temperature {flawed['temperature']:g}, declared as {flawed['declared']:g}"
    figure = Figure(figsize=(9.6, 3.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    this, other = figure.subplots(1, 2, sharey=True)
    _draw(this, certificate, f"{certificate['verdict']} · {certificate['tokens_scored']:,} tokens", COLOUR)
    _draw(other, flawed, f"flawed, to compare: {declared}", FLAWED_COLOUR)
    this.set_ylabel("density")
    other.legend(frameon=False, fontsize=8, loc="upper right")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", metadata={"Software": ""}))


def _draw(axes: Any, of: Any, title: str, colour: str) -> None:
    """One histogram: of a certificate, or of the example."""
    edges, counts = np.array(of["pit_edges"]), np.array(of["pit_counts"], dtype=float)
    widths, total = np.diff(edges), max(counts.sum(), 1)
    density = counts / total / widths
    spread = 1.96 * np.sqrt((1 - widths) / (widths * total))
    axes.bar(edges[:-1], density, widths, align="edge", color=colour, edgecolor="white", linewidth=0.6)
    low, high = (np.append(values, values[-1]) for values in (1 - spread, 1 + spread))
    axes.fill_between(edges, low, high, step="post", color="black", alpha=0.16, linewidth=0, label="95 % by chance")
    axes.axhline(1, color="black", linewidth=0.8)
    top = max(1.3, 1.05 * float(density.max()), axes.get_ylim()[1])
    axes.set(xlim=(0, 1), ylim=(0, top), xlabel="u: mass of more probable tokens")
    axes.set_title(title, fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
