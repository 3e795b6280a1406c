"""The figure of `faithful study variants`."""

from pathlib import Path

from studies.common.drawing import colours, new_figure, save
from studies.variants.summary import VariantsSummary


def draw(summary: VariantsSummary, folder: Path) -> None:
    """Draw everything into `folder`: every headline contrast in units of its margin, with its interval."""
    found = [one for one in summary["contrasts"] if one["headline"] and one["difference"] is not None]
    metrics = list(dict.fromkeys(one["metric"] for one in found))
    if not found:
        return
    figure, grid = new_figure(0.8 + 0.25 * len(found))
    shown = colours(metrics)
    for place, one in enumerate(found):
        margin, difference = one["margin"] or 1.0, one["difference"] or 0.0
        ends = [end / margin for end in one["ci95"] or [difference] * 2]
        grid.plot(ends, [place, place], color=shown[one["metric"]])
        grid.plot(difference / margin, place, "o", color=shown[one["metric"]], markersize=4)
    grid.axvspan(-1, 1, alpha=0.15, color="grey", linewidth=0)
    grid.set_yticks(range(len(found)), [f"{one['a']}: {one['metric']}" for one in found], fontsize=7)
    grid.invert_yaxis()
    grid.set_xlabel("difference from TopK, in margins of relevance")
    save(figure, folder / "differences.svg")
