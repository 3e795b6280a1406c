"""The figures of `faithful study corpora`."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from studies.common.drawing import MARKERS, PALETTE, colours, label_points, new_figure, save
from studies.corpora.summary import CorpusCell

CURVES = {
    "vocab_coverage": "vocabulary coverage",
    "distinct_1": "distinct 1-grams",
    "distinct_2": "distinct 2-grams",
    "distinct_3": "distinct 3-grams",
}
SETTINGS = {"temperature": ("T", PALETTE[0]), "top_p": ("p", PALETTE[1])}
"""What is swept: its letter and its colour."""
LINEAR, LEAST = 0.25, 0.15
TICKS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16)


def draw(cells: list[CorpusCell], folder: Path) -> None:
    """Draw everything into `folder`: faithfulness, curves, lengths, and the sweep where there is one."""
    hue = colours([cell["name"] for cell in cells])
    _faithfulness(cells, hue, folder / "faithfulness.svg")
    _curves(cells, hue, folder / "diversity.svg")
    _lengths(cells, hue, folder / "lengths.svg")
    curves = sweep_curves(cells)
    if curves:
        _sweep(curves, folder / "sweep.svg")


def _faithfulness(cells: list[CorpusCell], hue: dict[str, str], path: Path) -> None:
    """Each corpus by its surprise gap and its excess cross-entropy, with their 95 % intervals.

    Text of the model itself is where the zero lines meet, up to its noise, which the grey bands show. Axes are linear up to
    some `LINEAR` nats and logarithmic beyond, so that corpora near that point and far from it can be told apart.
    """
    figure, axes = new_figure(5.0)
    points, bars = [], []
    for cell, marker in zip(cells, cycle(MARKERS), strict=False):
        colour, is_own = hue[cell["name"]], _is_own(cell) and _only(cell, "")
        x, y = cell["as_model"]["surprise_gap"], cell["figures"]["excess_ce"]
        across, along = cell["as_model"]["ci95"] or (x, x), cell["figures"]["excess_ce_ci95"] or (y, y)
        axes.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="white", markeredgewidth=0.6)
        axes.plot(across, (y, y), color=colour, linewidth=1.4)
        axes.plot((x, x), along, color=colour, linewidth=1.4)
        if is_own:
            axes.axvspan(*across, color="black", alpha=0.08, linewidth=0, zorder=0)
            axes.axhspan(*along, color="black", alpha=0.08, linewidth=0, zorder=0)
        points.append((x, y))
        bars += [(across[0], y, across[1], y), (x, along[0], x, along[1])]
    axes.axhline(0, color="black", linewidth=0.7, zorder=0)
    axes.axvline(0, color="black", linewidth=0.7, zorder=0)
    _stretch(axes, "x", [end for bar in bars for end in bar[::2]])
    _stretch(axes, "y", [end for bar in bars for end in bar[1::2]])
    axes.set_xlabel("surprise gap, nats/token   (left: cooler than the model, right: more than it expects)")
    axes.set_ylabel("excess cross-entropy, nats/token   (up: harder than its own text)")
    axes.xaxis.label.set_size(10)
    axes.yaxis.label.set_size(10)
    axes.tick_params(labelsize=9)
    axes.grid(linewidth=0.3)
    label_points(axes, [cell["name"] for cell in cells], points, bars)
    save(figure, path)


def _stretch(axes: Any, letter: str, known: list[float]) -> None:
    """Scale, limits and ticks of one axis for the values on it."""
    from matplotlib.ticker import NullLocator

    low, high = np.arcsinh(np.array([min([*known, -LEAST]), max([*known, LEAST])]) / LINEAR)
    room = 0.12 * (high - low)
    limits = LINEAR * np.sinh([low - room, high + room])
    ticks = [tick for tick in (*(-step for step in reversed(TICKS)), 0, *TICKS) if limits[0] <= tick <= limits[1]]
    getattr(axes, f"set_{letter}scale")("asinh", linear_width=LINEAR)
    getattr(axes, f"set_{letter}lim")(*limits)
    getattr(axes, f"{letter}axis").set_minor_locator(NullLocator())
    getattr(axes, f"set_{letter}ticks")(ticks, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in ticks])


def _curves(cells: list[CorpusCell], hue: dict[str, str], path: Path) -> None:
    """Diversity against the number of tokens read, equal for all corpora."""
    figure, axes = new_figure(5.2, 2, 2)
    for one, (metric, title) in zip(axes.flat, CURVES.items(), strict=True):
        for cell in cells:
            curves = cell["text"]["curves"]
            one.plot(
                curves["budgets"], curves[metric], color=hue[cell["name"]], label=cell["name"], linewidth=1.4,
                marker=".", markersize=4,
            )  # fmt: skip
        one.set(xscale="log", ylim=(0, None))
        one.set_title(title, fontsize=10, loc="left")
        one.grid(linewidth=0.3)
    for one in axes[1]:
        one.set_xlabel("tokens")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    save(figure, path)


def _lengths(cells: list[CorpusCell], hue: dict[str, str], path: Path) -> None:
    """Share of documents that are at most so long: where documents end, and how many are cut."""
    figure, axes = new_figure(3.0)
    for cell in cells:
        lengths = sorted((int(length), count) for length, count in cell["text"]["lengths"].items())
        at, counts = np.array(lengths).T
        axes.step(
            [0, *at], [0, *(np.cumsum(counts) / counts.sum())], where="post", color=hue[cell["name"]],
            label=cell["name"], linewidth=1.4,
        )  # fmt: skip
    axes.set(xlabel="stored tokens", ylabel="share of documents", ylim=(0, 1.02), xlim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    axes.grid(linewidth=0.3)
    save(figure, path)


def sweep_curves(cells: list[CorpusCell]) -> dict[str, list[CorpusCell]]:
    """By setting, own corpora that differ in it alone, by surprise gap; only settings of which there are two."""
    own = [cell for cell in cells if _is_own(cell)]
    curves = {name: [cell for cell in own if _only(cell, name)] for name in SETTINGS}
    return {
        name: sorted(members, key=lambda cell: cell["as_model"]["surprise_gap"])
        for name, members in curves.items()
        if len({cell["sampling"][name] for cell in members}) > 1
    }


def _sweep(curves: dict[str, list[CorpusCell]], path: Path) -> None:
    """Diversity against faithfulness over the sampling settings of the model's own corpora."""
    figure, axes = new_figure(3.2, 1, 2)
    for one, metric, title in (
        (axes[0], "distinct_2", "distinct 2-grams"),
        (axes[1], "ce", "cross-entropy, nats/token"),
    ):
        for name, members in curves.items():
            letter, colour = SETTINGS[name]
            x = [cell["as_model"]["surprise_gap"] for cell in members]
            y = [cell["figures"]["ce"] if metric == "ce" else cell["text"]["curves"][metric][-1] for cell in members]
            one.plot(x, y, "o-", color=colour, linewidth=1, markersize=4, label=name.replace("_", "-"))
            for cell, at_x, at_y in zip(members, x, y, strict=True):
                value = cell["sampling"][name]
                label = "own" if value == 1 else f"{letter} {value:g}"
                one.annotate(label, (at_x, at_y), textcoords="offset points", xytext=(5, -9), fontsize=7)
        one.axvline(0, color="black", linewidth=0.7)
        one.set(xlabel="surprise gap, nats/token")
        one.margins(0.12)
        one.set_title(title, fontsize=10, loc="left")
        one.grid(linewidth=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    save(figure, path)


def _is_own(cell: CorpusCell) -> bool:
    """Whether a corpus was sampled from the very model that scores it, whatever the settings."""
    return cell["kind"] == "own" and cell["sampling"] is not None and "loaded_otherwise" not in cell


def _only(cell: CorpusCell, name: str) -> bool:
    """Whether an own corpus differs from the model's distribution in one setting at most."""
    sampling = cell["sampling"]
    usual = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    return all(sampling[key] == value for key, value in usual.items() if key != name)
