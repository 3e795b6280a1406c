"""The figures of `faithful study corpora`."""

from pathlib import Path

import numpy as np

from studies.common.drawing import PALETTE, colours, new_figure, save
from studies.corpora.summary import CorpusCell

CURVES = {
    "vocab_coverage": "vocabulary coverage",
    "distinct_1": "distinct 1-grams",
    "distinct_2": "distinct 2-grams",
    "distinct_3": "distinct 3-grams",
}
ALPHA = 0.001


def draw(cells: list[CorpusCell], folder: Path) -> None:
    """Draw everything into `folder`: faithfulness, tests, curves, lengths, and the sweep where there is one."""
    hue = colours([cell["name"] for cell in cells])
    _faithfulness(cells, hue, folder / "faithfulness.svg")
    _tests(cells, folder / "tests.svg")
    _curves(cells, hue, folder / "diversity.svg")
    _lengths(cells, hue, folder / "lengths.svg")
    own = [cell for cell in cells if cell["kind"] == "own"]
    if len(own) > 1:
        _sweep(own, folder / "sweep.svg")


def _faithfulness(cells: list[CorpusCell], hue: dict[str, str], path: Path) -> None:
    """Excess cross-entropy and surprise gap of each corpus with their 95 % intervals."""
    figure, axes = new_figure(0.9 + 0.34 * len(cells), 1, 2)
    places = np.arange(len(cells))[::-1]
    for one, title, unit in (
        (axes[0], "excess cross-entropy", "nats/token · outside the model →"),
        (axes[1], "surprise gap", "nats/token · ← cooler than the model"),
    ):
        for place, cell in zip(places, cells, strict=True):
            if one is axes[0]:
                value, ends = cell["figures"]["excess_ce"], cell["figures"]["excess_ce_ci95"]
            else:
                value, ends = cell["as_model"]["surprise_gap"], cell["as_model"]["ci95"]
            low, high = ends or (value, value)
            one.errorbar(
                value, place, xerr=[[value - low], [high - value]], fmt="o", color=hue[cell["name"]], markersize=5,
                capsize=2, linewidth=1,
            )  # fmt: skip
        one.axvline(0, color="black", linewidth=0.7)
        one.set(xlabel=unit, yticks=places, ylim=(-0.6, len(cells) - 0.4))
        one.set_title(title, fontsize=10, loc="left")
        one.grid(axis="x", linewidth=0.3)
        one.set_yticklabels([cell["name"] for cell in cells] if one is axes[0] else [])
    save(figure, path)


def _tests(cells: list[CorpusCell], path: Path) -> None:
    """Corrected p of every test against the model's own distribution: which test tells which corpus apart."""
    tests = list(cells[0]["as_model"]["tests"])
    values = np.array(
        [[cell["as_model"]["tests"][test].get("p_holm", np.nan) for test in tests] for cell in cells], dtype=float
    )
    figure, axes = new_figure(0.9 + 0.34 * len(cells))
    evidence = -np.log10(np.maximum(values, 1e-12))
    picture = axes.imshow(evidence, cmap="Blues", vmin=0, vmax=12, aspect="auto")
    for row, column in np.ndindex(values.shape):
        p = values[row, column]
        text = "–" if np.isnan(p) else "<1e-12" if p < 1e-12 else f"{p:.2g}"
        dark = not np.isnan(p) and evidence[row, column] > 6
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(len(tests)), tests, fontsize=8)
    axes.set_yticks(range(len(cells)), [cell["name"] for cell in cells], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"Holm-corrected p under the model's own distribution (rejected below {ALPHA:g})", fontsize=10, loc="left"
    )
    bar = figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("−log₁₀ p", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save(figure, path)


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


def _sweep(own: list[CorpusCell], path: Path) -> None:
    """Diversity against faithfulness over the sampling settings of the model's own corpora."""
    figure, axes = new_figure(3.2, 1, 2)
    for one, metric, title in (
        (axes[0], "distinct_2", "distinct 2-grams"),
        (axes[1], "ce", "cross-entropy, nats/token"),
    ):
        for name, letter, colour in (("temperature", "T", PALETTE[0]), ("top_p", "p", PALETTE[1])):
            members = [cell for cell in own if _only(cell, name)]
            if len(members) < 2:
                continue
            members = sorted(members, key=lambda cell: cell["as_model"]["surprise_gap"])
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


def _only(cell: CorpusCell, name: str) -> bool:
    """Whether an own corpus differs from the model's distribution in one setting at most."""
    sampling = cell["sampling"]
    usual = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    return all(sampling[key] == value for key, value in usual.items() if key != name)
