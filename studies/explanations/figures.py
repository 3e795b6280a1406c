"""The figure of `faithful explain`."""

from pathlib import Path

import numpy as np

from studies.common.controls import UNTRAINED
from studies.common.drawing import colours, new_figure, save
from studies.explanations.bench import SHUFFLED, TRAINED
from studies.explanations.summary import ExplanationsSummary

STYLES = {TRAINED: "-", SHUFFLED: "--", UNTRAINED: ":"}


def draw(summary: ExplanationsSummary, folder: Path) -> None:
    """Draw which share of latents reaches each detection, by corpus."""
    figure, axes = new_figure(2.8)
    for name, hue in colours(list(summary["detections"])).items():
        for by, values in summary["detections"][name].items():
            if values:
                reached = np.sort(values)
                share = 1 - np.arange(len(reached)) / len(reached)
                label = name if by == TRAINED else None
                axes.step(
                    [0, *reached, 1], [1, *share, 0], color=hue, linestyle=STYLES[by], where="pre", label=label,
                    linewidth=1.2,
                )  # fmt: skip
    axes.axvline(0.5, color="black", linewidth=0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("detection (0.5 by chance)")
    axes.set_ylabel("share of latents")
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=7, frameon=False, loc="lower left")
    save(figure, folder / "detection.svg")
