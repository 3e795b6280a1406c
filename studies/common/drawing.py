"""The look of every figure: one size, one palette, SVG, written atomically; no global state of matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from faithful.base.files import write_atomically

PALETTE = ("#1f4e8c", "#d1622b", "#3b8b5b", "#8a5aa8", "#b8912f", "#5c5c5c", "#b03a5b", "#2b9aa0", "#94a03a", "#7a4b2a")
FIXED = {
    "own": 0, "prose": 1, "stdlib": 2, "noise": 5, "own-shuffled": 9, "fineweb": 1, "pile": 2, "flan": 3, "openwebtext": 6,
    "tinystories": 7, "wikipedia": 4, "c4": 8,
}  # fmt: skip
"""Places in the palette of the corpora that stand beside each other in recipes and docs."""
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
    """A colour per corpus, the same in every figure whatever else is drawn there: known corpora have one of their own, others
    that of their name's checksum, or the next one where two of a figure would be alike."""
    found = {name: FIXED[name] for name in names if name in FIXED}
    for name in sorted(set(names) - found.keys()):
        start = crc32(name.encode()) % len(PALETTE)
        order = [(start + step) % len(PALETTE) for step in range(len(PALETTE))]
        found[name] = next((place for place in order if place not in found.values()), start)
    return {name: PALETTE[found[name]] for name in names}


def save(figure: Any, path: Path) -> None:
    """Write an SVG whose bytes depend on the figure alone."""
    import matplotlib as mpl

    def write(temporary: Path) -> None:
        with mpl.rc_context({"svg.hashsalt": "faithful", "svg.fonttype": "none"}):
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})

    write_atomically(path, write)
