"""The look of every figure: one size, one palette, SVG, written atomically; no global state of matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faithful.files import write_atomically

PALETTE = ("#1f4e8c", "#d1622b", "#3b8b5b", "#8a5aa8", "#b8912f", "#5c5c5c", "#b03a5b", "#2b9aa0", "#94a03a", "#7a4b2a")
WIDTH = 7.2


def new_figure(height: float, rows: int = 1, columns: int = 1, width: float = WIDTH) -> tuple[Any, Any]:
    """A figure of `width` × `height` inches and its axes, one or an array [rows, columns]."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, columns)
    for one in [axes] if rows * columns == 1 else axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
        one.xaxis.label.set_size(9)
        one.yaxis.label.set_size(9)
    return figure, axes


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour per name, in order."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def save(figure: Any, path: Path) -> None:
    """Write an SVG whose bytes depend on the figure alone."""
    import matplotlib as mpl

    def write(temporary: Path) -> None:
        with mpl.rc_context({"svg.hashsalt": "faithful", "svg.fonttype": "none"}):
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})

    write_atomically(path, write)
