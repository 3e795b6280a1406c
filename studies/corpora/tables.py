"""The tables of `faithful study corpora`, as rows of strings for a terminal or a report."""

from typing import Any

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def corpora_tables(summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """All tables of the study: title, header, rows."""
    cells = list(summary["cells"].values())
    model, scored, budget = summary["model"]["name"], summary["tokens_scored"], summary["diversity_tokens"]
    looked_at = summary["near_duplicate_tokens"]
    near = f" (near-duplicates: {looked_at:,})" if looked_at < budget else ""
    titles = {
        f"Against {model}'s own text ({summary['reference']}), about {scored:,} tokens each; ± 95 %": faithfulness_rows,
        "Certificate": verdict_rows,
        "Its tests: corrected p under the model's own distribution": test_rows,
        f"Diversity at {budget:,} tokens": diversity_rows,
        f"Documents, in the first {budget:,} tokens{near}": shape_rows,
    }
    return [(title, *rows_of(cells)) for title, rows_of in titles.items()]


def faithfulness_rows(cells: list[dict[str, Any]]) -> Table:
    """How far each corpus lies outside the model."""
    header = ("corpus", "excess ce", "surprise gap", "ce", "entropy", "first-token JS", "floor", "unigram JS", "floor")
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        figures, scored = cell["figures"], cell["as_model"]
        rows.append(
            (
                cell["name"],
                _interval(figures["excess_ce"], figures["excess_ce_ci95"]),
                _interval(scored["surprise_gap"], scored["ci95"]),
                f"{figures['ce']:.3f}",
                f"{figures['entropy']:.3f}",
                *(_number(figures[name]) for name in ("first_token_js", "first_token_js_floor")),
                *(_number(figures[name]) for name in ("unigram_js", "unigram_js_floor")),
            )
        )
    return header, rows


def verdict_rows(cells: list[dict[str, Any]]) -> Table:
    """What the certificate says of each corpus."""
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        scored, declared = cell["as_model"], cell["as_declared"]
        rows.append((cell["name"], scored["verdict"], scored["reason"], declared["verdict"] if declared else ""))
    return ("corpus", "as the model's own text", "because", "as it was declared"), rows


def test_rows(cells: list[dict[str, Any]]) -> Table:
    """Corrected p of each test."""
    tests = list(cells[0]["as_model"]["tests"])
    rows = [(cell["name"], *(_p(cell["as_model"]["tests"][test].get("p_holm")) for test in tests)) for cell in cells]
    return ("corpus", *tests), rows


test_rows.__test__ = False  # type: ignore[attr-defined]


def diversity_rows(cells: list[dict[str, Any]]) -> Table:
    """Diversity at one token budget."""
    header = ("corpus", "vocab coverage", "distinct 1", "distinct 2", "distinct 3", "distinct 4", "compression")
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        curves = cell["text"]["curves"]
        names = ("vocab_coverage", "distinct_1", "distinct_2", "distinct_3", "distinct_4")
        compression = cell["text"]["compression_ratio"]
        rows.append((cell["name"], *(f"{curves[name][-1]:.3f}" for name in names), _number(compression)))
    return header, rows


def shape_rows(cells: list[dict[str, Any]]) -> Table:
    """Duplicates, loops and lengths of the same documents."""
    header = ("corpus", "duplicates", "near-dup.", "loops", "round trip", "ended", "mean length", "median", "p95")
    rows: list[tuple[str, ...]] = []
    shares = ("duplicate_rate", "near_duplicate_rate", "repetition_rate", "round_trip_rate", "eos_rate")
    for cell in cells:
        text = cell["text"]
        lengths = (f"{text['length_mean']:.1f}", f"{text['length_median']:.0f}", f"{text['length_p95']:.0f}")
        rows.append((cell["name"], *(f"{text[name]:.2%}" for name in shares), *lengths))
    return header, rows


def _interval(value: float, ends: list[float] | None) -> str:
    return f"{value:+.3f}" + (f"\u00a0±\u00a0{(ends[1] - ends[0]) / 2:.3f}" if ends else "")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "<1e-12" if value < 1e-12 else f"{value:.2g}"
