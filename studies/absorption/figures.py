"""The figure of `faithful study absorption`."""

from pathlib import Path

from studies.absorption.summary import AbsorptionSummary
from studies.common.drawing import MARKERS, colours, new_figure, save


def draw(summary: AbsorptionSummary, folder: Path) -> None:
    """Draw each strong parent of each task and corpus into `folder`; nothing where there is none."""
    tasks = {name: parents for name, parents in summary["parents"].items() if parents}
    if not tasks:
        return
    figure, grid = new_figure(3.2, 1, len(tasks))
    hue = colours(list(summary["corpora"]))
    for axes, (name, parents) in zip([grid] if len(tasks) == 1 else grid, tasks.items(), strict=True):
        for place, corpus in enumerate(hue):
            points = [of[corpus] for of in parents.values() if corpus in of]
            xs, ys = ([one[metric]["value"] for one in points] for metric in ("main_f1", "full_absorption"))
            shape = MARKERS[place % len(MARKERS)]
            axes.plot(xs, ys, shape, color=hue[corpus], markersize=4, alpha=0.8, label=corpus)
            for parent, of in parents.items():
                if corpus in of and len(parent) == 1:
                    at = (of[corpus]["main_f1"]["value"], of[corpus]["full_absorption"]["value"])
                    axes.annotate(parent, at, (3, 2), textcoords="offset points", fontsize=6, color=hue[corpus])
        axes.set(xlabel="F1 of the parent's latents", ylabel="full absorption")
        axes.set_title(name, fontsize=9, loc="left")
        axes.grid(linewidth=0.3)
        axes.legend(fontsize=8, frameon=False)
    save(figure, folder / "parents.svg")
