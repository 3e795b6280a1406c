"""The figures of `faithful study sparsity`."""

from pathlib import Path

from studies.common.drawing import MARKERS, colours, new_figure, save
from studies.sparsity.summary import Axis, SparsitySummary


def draw(summary: SparsitySummary, folder: Path) -> None:
    """Draw the densities, and c_dec against k where the grid has several, into `folder`."""
    figure, axes = new_figure(2.6)
    hue, edges = colours(list(summary["histograms"])), summary["edges"]
    for name, counts in summary["histograms"].items():
        axes.stairs(counts, edges, color=hue[name], label=name)
    axes.set(xlabel="log10 of the share of tokens on which a latent fires", ylabel="latents")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(linewidth=0.3)
    save(figure, folder / "densities.svg")
    if summary["axes"]:
        _against_k(summary["axes"][0], folder / "k.svg")


def _against_k(axis: Axis, path: Path) -> None:
    figure, axes = new_figure(2.6)
    for place, (name, colour) in enumerate(colours(list(axis["best"])).items()):
        values = [axis["figures"]["c_dec"][str(k)][name]["value"] for k in axis["ks"]]
        axes.plot(axis["ks"], values, marker=MARKERS[place % len(MARKERS)], markersize=4, color=colour, label=name)
        best = axis["best"][name]["k"]
        at = values[axis["ks"].index(best)]
        axes.plot([best], [at], "o", markersize=10, fillstyle="none", color=colour)
    axes.set(xlabel="latents kept per token", ylabel="c_dec")
    axes.set_xscale("log", base=2)
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=8, frameon=False)
    save(figure, path)
