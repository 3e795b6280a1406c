"""The answer in one picture: every headline contrast in margins of relevance, its verdict by shape and colour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

from studies.common.drawing import new_figure, save
from studies.statistics.records import Contrast, Difference

LINEAR = 2.0
"""Margins up to which the axis is linear; beyond it is logarithmic, so that a large difference leaves room for small ones."""
ROW, REST = 0.21, 1.05
"""Inches of height: of a row, and of axis, legend and edges."""
LOOKS = {
    "differs": ("o", "#b3471a", True, "differs"),
    "depends": ("D", "#8a5aa8", True, "depends on the text or task"),
    "little": ("^", "#8a6a10", True, "differs by less than the margin"),
    "same": ("s", "#2c7a4b", False, "no relevant difference"),
    "unclear": ("o", "#5c5c5c", False, "cannot tell"),
    "undecided": ("x", "#5c5c5c", False, "cannot be decided"),
    "plain": (".", "#5c5c5c", False, "other"),
}
"""Marker, colour, whether it is filled, and words of each kind of verdict."""


class Look(TypedDict):
    """A mark, as matplotlib is told."""

    marker: str
    color: str
    markerfacecolor: str
    markersize: float
    linestyle: str


class Line(NamedTuple):
    """A headline contrast of a study as it is drawn: its heading, its kind of verdict, and whether it is a control."""

    study: str
    heading: str
    kind: str
    entry: Contrast
    control: bool = False


def draw_forest(lines: Sequence[Line], path: Path) -> bool:
    """Draw all contrasts that have a size, under the heading of their study; False where none has.

    Small grey marks are the parts of the panel (of probes: the tasks) that a contrast is made of.

    Args:
        lines: those of a heading stand together.
        path: of the SVG.
    """
    shown = [line for line in lines if line.entry.get("difference") is not None and line.entry.get("margin")]
    if not shown:
        return False
    headings = list(dict.fromkeys(line.heading for line in shown))
    figure, axes = new_figure(REST + ROW * (len(shown) + len(headings)))
    axes.axvspan(-1, 1, color="#dddddd", linewidth=0)
    axes.axvline(0, color="#888888", linewidth=0.6)
    ticks: dict[int, tuple[str, str]] = {}
    place = 0
    for heading in headings:
        ticks[place] = heading, "bold"
        place += 1
        for line in (one for one in shown if one.heading == heading):
            _draw(axes, place, line)
            ticks[place] = _label(line), "normal"
            place += 1
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(place - 0.4, -0.6)
    axes.set_yticks(list(ticks), [text for text, _ in ticks.values()])
    for label, (_, weight) in zip(axes.get_yticklabels(), ticks.values(), strict=True):
        label.set_fontweight(weight)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("difference in margins of relevance; within the grey it is too small to matter")
    kinds = dict.fromkeys(line.kind for line in shown)
    marks = [axes.plot([], [], label=LOOKS[kind][3], **_look(kind))[0] for kind in LOOKS if kind in kinds]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(4, len(marks)), frameon=False, fontsize=8)
    save(figure, path)
    return True


def _draw(axes: Any, place: int, line: Line) -> None:
    """One contrast: its parts, its interval, its mark."""
    margin = cast(float, line.entry["margin"])
    colour = LOOKS[line.kind][1]
    parts: Sequence[Difference] = list(line.entry.get("parts", {}).values())
    sizes = [size / margin for part in parts if (size := part.get("difference")) is not None]
    axes.plot(sizes, [place] * len(sizes), "|", color="#888888", markersize=5, markeredgewidth=0.8)
    ends = line.entry.get("ci95")
    if ends:
        axes.plot([end / margin for end in ends], [place] * 2, color=colour, linewidth=1.4)
    axes.plot(cast(float, line.entry["difference"]) / margin, place, **_look(line.kind))


def _look(kind: str) -> Look:
    marker, colour, filled, _ = LOOKS[kind]
    inside = colour if filled else "white"
    return {"marker": marker, "color": colour, "markerfacecolor": inside, "markersize": 5.5, "linestyle": "none"}


def _label(line: Line) -> str:
    text = line.entry.get("text")
    between = f"{line.entry['a']} − {line.entry['b']}"
    return between + (f", {text} text" if text else "") + (" (control)" if line.control else "")
