"""The figure of `faithful study variants`."""

from pathlib import Path

from studies.common.drawing import colours, new_figure, save
from studies.variants.config import IF_MEASURED, MEASURED
from studies.variants.summary import VariantsSummary


def draw(summary: VariantsSummary, folder: Path) -> None:
    """Draw everything into `folder`: what every run contrasts on the family's corpus, controls aside, in units of its
    margin."""
    names = summary["corpora"].keys() - set(summary["frozen"])
    seldom = {metric for of in IF_MEASURED.values() for metric in of}
    here = [one for one in summary["contrasts"] if one["a"] in names and one["metric"] not in seldom]
    found = [one for one in here if one["difference"] is not None]
    metrics = list(dict.fromkeys(one["metric"] for one in found))
    if not found:
        return
    figure, grid = new_figure(0.8 + 0.25 * len(found))
    shown = colours(metrics)
    for place, one in enumerate(found):
        margin, difference = MEASURED[one["metric"]].margin, one["difference"] or 0.0
        ends = [end / margin for end in one["ci95"] or [difference] * 2]
        grid.plot(ends, [place, place], color=shown[one["metric"]])
        fill = "full" if one["headline"] else "none"
        grid.plot(difference / margin, place, "o", color=shown[one["metric"]], markersize=4, fillstyle=fill)
    grid.axvspan(-1, 1, alpha=0.15, color="grey", linewidth=0)
    grid.set_yticks(range(len(found)), [f"{one['a']}: {one['metric']}" for one in found], fontsize=7)
    grid.invert_yaxis()
    grid.set_xscale("symlog", linthresh=2)
    grid.xaxis.set_major_formatter("{x:g}")
    grid.set_xlabel("difference from TopK, in margins of relevance")
    save(figure, folder / "differences.svg")
