"""The figures of `faithful study probes`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from studies.common.drawing import colours, new_figure, save
from studies.probes.summary import OnTask, ProbesSummary

PER_ROW = 4


def draw(summary: ProbesSummary, folder: Path) -> None:
    """Draw everything into `folder`.

    Args:
        summary: what summary.json holds.
        folder: of the figures.
    """
    names = list(summary["corpora"])
    hue = colours(names)
    _forest(summary, names, hue, folder / "forest.svg")
    of_sizes = {task: found for task, found in summary["by_task"].items() if len(_sizes(found)) > 1}
    if of_sizes:
        _curves(summary, of_sizes, names, hue, "size", folder / "learning_curves.svg")
    of_ks = {task: found for task, found in summary["by_task"].items() if found[names[0]]["k_sparse"]}
    if of_ks:
        _curves(summary, of_ks, names, hue, "k", folder / "k_sparse.svg")


def _forest(summary: ProbesSummary, names: Sequence[str], hue: dict[str, str], path: Path) -> None:
    """Accuracy of each corpus' SAEs on each task, codes filled, reconstructions open, beside activations and both floors."""
    lines: list[tuple[str, str | None]] = [(task, name) for task in summary["by_task"] for name in names]
    figure, axes = new_figure(1.0 + 0.2 * len(lines) + 0.12 * len(summary["by_task"]))
    at, ticks = 0.0, []
    for task, found in summary["by_task"].items():
        top = at
        for name in names:
            for input_, shift, filled in (("f", -0.12, True), ("h_hat", 0.16, False)):
                one = found[name][input_]["accuracy"][-1]
                if one["value"] is None:
                    continue
                low, high = one["ci95"] or (one["value"], one["value"])
                axes.plot([low, high], [at + shift] * 2, color=hue[name], linewidth=1.2, alpha=1 if filled else 0.5)
                axes.plot(
                    one["value"], at + shift, "o", color=hue[name], markersize=4 if filled else 3,
                    markerfacecolor=hue[name] if filled else "white",
                )  # fmt: skip
            ticks.append((at, name))
            at += 1
        known = summary["tasks"][task]
        low, high = known["baseline"]["accuracy_ci95"]
        axes.fill_betweenx([top - 0.45, at - 0.55], low, high, color="black", alpha=0.07, linewidth=0)
        axes.plot([known["baseline"]["accuracy"]] * 2, [top - 0.45, at - 0.55], color="black", linewidth=1)
        axes.plot([known["majority"]] * 2, [top - 0.45, at - 0.55], color="black", linewidth=0.8, linestyle=":")
        axes.plot(
            [known["words"]["accuracy"]] * 2, [top - 0.45, at - 0.55], color="black", linewidth=0.8, linestyle="--"
        )
        title = task + (" (ceiling)" if known["ceiling"] else "")
        axes.annotate(title, (1.01, (top + at - 1) / 2), xycoords=("axes fraction", "data"), fontsize=8, va="center")
        at += 0.6
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set(xlabel="accuracy: codes ●, reconstructions ○, activations │ with interval, words ╎, majority ┊")
    axes.grid(axis="x", linewidth=0.3)
    save(figure, path)


def _curves(
    summary: ProbesSummary,
    tasks: Mapping[str, dict[str, OnTask]],
    names: Sequence[str],
    hue: dict[str, str],
    over: Literal["size", "k"],
    path: Path,
) -> None:
    """Accuracy on the codes over the training examples (`size`), or over the latents used (`k`), a panel per task."""
    columns = min(PER_ROW, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, axes = new_figure(0.5 + 1.9 * lines, lines, columns)
    panels = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
    for panel, (task, found) in zip(panels, tasks.items(), strict=False):
        known = summary["tasks"][task]
        for name in names:
            points = found[name]["f"]["accuracy"] if over == "size" else found[name]["k_sparse"]
            at = [point[over] for point in points]
            panel.plot(
                at,
                [point["value"] for point in points],
                "o-",
                color=hue[name],
                markersize=2.5,
                linewidth=1.2,
                label=name,
            )
            if all(point["ci95"] for point in points):
                low, high = zip(*(point["ci95"] for point in points), strict=True)
                panel.fill_between(at, low, high, color=hue[name], alpha=0.18, linewidth=0)
        baseline = known["baseline"]["curve" if over == "size" else "k_sparse"]
        panel.plot(
            [one[over] for one in baseline], [one["accuracy"] for one in baseline], "s-", color="black", markersize=2.5,
            linewidth=1, label="activations h",
        )  # fmt: skip
        panel.axhline(known["majority"], color="black", linewidth=0.7, linestyle=":")
        panel.axhline(known["words"]["accuracy"], color="black", linewidth=0.7, linestyle="--", label="words alone")
        panel.set_xscale("log")
        shown = sorted({one[over] for one in baseline})
        panel.set_xticks(shown, [str(one) for one in shown])
        panel.set_xticks([], minor=True)
        panel.set_title(task, fontsize=9, loc="left")
        panel.set_xlabel("training examples" if over == "size" else "features used")
        panel.grid(linewidth=0.3)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    panels[0].set_ylabel("accuracy")
    panels[0].legend(fontsize=6, frameon=False)
    save(figure, path)


def _sizes(found: Mapping[str, OnTask]) -> list[int]:
    return [point["size"] for point in next(iter(found.values()))["f"]["accuracy"]]
