"""The figure of `faithful study unlearning`."""

from pathlib import Path

import numpy as np

from studies.common.drawing import colours, new_figure, save
from studies.unlearning.summary import UnlearningSummary

STYLES = {"forget": "-", "retain": "--"}


def draw(summary: UnlearningSummary, folder: Path) -> None:
    """Draw what is lost on both sides over the multiplier, a panel per threshold and number of latents."""
    settings = summary["settings"]
    kinds = sorted({(one["threshold"], one["latents"]) for one in settings})
    figure, axes = new_figure(2.4, columns=len(kinds))
    for at, (threshold, latents) in enumerate(kinds):
        here = np.atleast_1d(axes)[at]
        for name, hue in colours(list(summary["curves"])).items():
            some = [
                one for one in summary["curves"][name] if (one["threshold"], one["latents"]) == (threshold, latents)
            ]
            for side, style in STYLES.items():
                values = [one[f"{side}_lost"]["value"] for one in some]
                label = name if at == 0 and side == "forget" else None
                here.plot(
                    [one["multiplier"] for one in some], values, color=hue, linestyle=style, label=label, linewidth=1.2
                )
        here.axhline(0, color="black", linewidth=0.5)
        here.set_title(f"{latents} latents, density ≤ {threshold:g}", fontsize=8, loc="left")
        here.set_xlabel("multiplier")
        here.grid(linewidth=0.3)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("accuracy lost")
    first.legend(fontsize=7, frameon=False)
    save(figure, folder / "curves.svg")
