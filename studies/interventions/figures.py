"""The figure of `faithful study interventions`."""

from pathlib import Path

from studies.common.drawing import colours, new_figure, save
from studies.interventions.config import MARK
from studies.interventions.summary import InterventionsSummary

STYLES = {"scr": "-", "tpp": "--"}


def draw(summary: InterventionsSummary, folder: Path) -> None:
    """Draw both scores over the number of latents taken out; the figure says of itself what it is not."""
    counts = sorted(summary["sizes"]["latents"])
    figure, axes = new_figure(2.4)
    for name, hue in colours(list(summary["corpora"])).items():
        for metric, style in STYLES.items():
            values = [summary["corpora"][name][f"{metric}_n{count}"]["value"] for count in counts]
            drawn = [float("nan") if value is None else value for value in values]
            axes.plot(counts, drawn, color=hue, linestyle=style, label=f"{name}, {metric.upper()}", linewidth=1.2)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set(xlabel="latents taken out", ylabel="score", xscale="log")
    axes.set_title(MARK, fontsize=8, loc="left")
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, folder / "scores.svg")
