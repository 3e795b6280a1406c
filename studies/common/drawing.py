"""The look of every figure: one size, one palette, SVG, written atomically; no global state of matplotlib."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from faithful.base.files import write_atomically

PALETTE = ("#1f4e8c", "#d1622b", "#3b8b5b", "#8a5aa8", "#b8912f", "#5c5c5c", "#b03a5b", "#2b9aa0", "#94a03a", "#7a4b2a")
FIXED = {
    "own": 0, "prose": 1, "stdlib": 2, "noise": 5, "own-shuffled": 9, "fineweb": 1, "pile": 2, "flan": 3, "openwebtext": 6,
    "tinystories": 7, "wikipedia": 4, "c4": 8,
}  # fmt: skip
"""Places in the palette of the corpora that stand beside each other in recipes and docs."""
WIDTH = 7.2
MARKERS = "osD^vPX<>*"
"""Beside the colours, so that points are told apart without them."""
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
DISTANCES = (8, 14, 22, 32, 46, 64)
NEAR = 14


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


def label_points(
    axes: Any, names: Sequence[str], xy: Sequence[tuple[float, float]], bars: Sequence[Any] = (), size: float = 10
) -> None:
    """Write names beside their points so that no name covers another, a point, a bar or the edge, as far as there is room.

    Each takes the nearest place that is free, the most crowded first, and gets a thin line to its point where that is far.

    Limits, scales and size of the axes must be final.

    Args:
        axes: where the points are drawn.
        names: of the points.
        xy: their places, in the data's units.
        bars: lines (left, bottom, right, top) that are drawn there, in the same units.
        size: of the text, in points.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # settles the layout
    figure.set_layout_engine("none")
    scale = figure.dpi / 72
    points = axes.transData.transform(np.asarray(xy, dtype=float)) / scale
    frame = np.asarray(axes.bbox.extents) / scale
    crowd = [np.sort(np.linalg.norm(points - point, axis=1))[1:3].sum() for point in points]
    drawn = [axes.transData.transform(np.reshape(bar, (2, 2))).ravel() / scale for bar in bars]
    taken = [np.array([*point - 5, *point + 5]) for point in points]
    taken += [bar + np.array([-1.5, -1.5, 1.5, 1.5]) for bar in drawn]
    for place in np.argsort(crowd, kind="stable"):
        text = axes.annotate(
            names[place], xy[place], (0, 0), textcoords="offset points", fontsize=size, color="#222222"
        )
        text.set_in_layout(False)
        extent = text.get_window_extent()
        wide, high = 1.08 * extent.width / scale, extent.height / scale
        found = []
        for distance, (right, up) in product(DISTANCES, DIRECTIONS):
            reach = distance / np.hypot(right, up)
            left = points[place] + reach * np.array([right, up]) + np.array([(right - 1) * wide, (up - 1) * high]) / 2
            box = np.array([*left, left[0] + wide, left[1] + high])
            beyond = np.maximum(frame[:2] - box[:2], 0).sum() + np.maximum(box[2:] - frame[2:], 0).sum()
            found.append((sum(_overlap(box, other) for other in taken) + 10 * beyond, distance, box))
        cost = min(cost for cost, _, _ in found)
        _, distance, box = next(one for one in found if one[0] == cost)
        taken.append(box)
        text.set_position(box[:2] - points[place])
        if distance > NEAR:
            end = np.clip(points[place], box[:2], box[2:])
            line = {"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
            axes.annotate("", xy[place], xytext=end - points[place], textcoords="offset points", arrowprops=line)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(max(width, 0) * max(height, 0))


def save(figure: Any, path: Path) -> None:
    """Write an SVG whose bytes depend on the figure alone."""
    import matplotlib as mpl

    def write(temporary: Path) -> None:
        with mpl.rc_context({"svg.hashsalt": "faithful", "svg.fonttype": "none"}):
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})

    write_atomically(path, write)
