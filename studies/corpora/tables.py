"""The tables of `faithful study corpora`, as rows of strings for a terminal or a report."""

from studies.common.tables import Table, plus_minus
from studies.corpora.summary import CorporaSummary, CorpusCell
from studies.statistics.numbers import fixed, p_of

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def corpora_tables(summary: CorporaSummary) -> list[Table]:
    """All tables of the study."""
    cells = list(summary["cells"].values())
    model, scored, budget = summary["model"]["name"], summary["tokens_scored"], summary["diversity_tokens"]
    looked_at = summary["near_duplicate_tokens"]
    near = f" (near-duplicates: {looked_at:,})" if looked_at < budget else ""
    titles = {
        f"Against {model}'s own text ({summary['reference']}), about {scored:,} tokens each; ± 95 %": faithfulness_rows,
        "Certificate": verdict_rows,
        "Its tests: p under the model's own distribution, corrected by Holm; below 0.001 one rejects": test_rows,
        f"Diversity at {budget:,} tokens": diversity_rows,
        f"Documents, in the first {budget:,} tokens{near}": shape_rows,
    }
    return [Table(title, *rows_of(cells)) for title, rows_of in titles.items()]


def faithfulness_rows(cells: list[CorpusCell]) -> Rows:
    """How far each corpus is from the model's own text: the two axes, and what they are made of."""
    header = ("corpus", "surprise gap", "excess ce", "ce", "entropy", "first-token JS", "floor", "unigram JS", "floor")
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        figures, scored = cell["figures"], cell["as_model"]
        rows.append(
            (
                cell["name"],
                plus_minus(scored["surprise_gap"], scored["ci95"], 3, sign=True),
                plus_minus(figures["excess_ce"], figures["excess_ce_ci95"], 3, sign=True),
                f"{figures['ce']:.3f}",
                f"{figures['entropy']:.3f}",
                *(fixed(figures[name]) for name in ("first_token_js", "first_token_js_floor")),
                *(fixed(figures[name]) for name in ("unigram_js", "unigram_js_floor")),
            )
        )
    return header, rows


def verdict_rows(cells: list[CorpusCell]) -> Rows:
    """What the certificate says of each corpus: as the model's own text, and where any declares something else, as that."""
    any_declared = any(cell["as_declared"] for cell in cells)
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        scored, declared = cell["as_model"], cell["as_declared"]
        told = (declared["verdict"] if declared else "",) if any_declared else ()
        rows.append((cell["name"], scored["verdict"], scored["reason"], *told))
    header = ("corpus", "as the model's own text", "because")
    return (*header, "as it was declared") if any_declared else header, rows


def test_rows(cells: list[CorpusCell]) -> Rows:
    """Corrected p of each test."""
    tests = list(cells[0]["as_model"]["tests"])
    rows = [
        (cell["name"], *(p_of(cell["as_model"]["tests"][test].get("p_holm"), 1e-12) for test in tests))
        for cell in cells
    ]
    return ("corpus", *tests), rows


test_rows.__test__ = False  # type: ignore[attr-defined]


def diversity_rows(cells: list[CorpusCell]) -> Rows:
    """Diversity at one token budget."""
    header = ("corpus", "vocab coverage", "distinct 1", "distinct 2", "distinct 3", "distinct 4", "compression")
    rows: list[tuple[str, ...]] = []
    for cell in cells:
        curves = cell["text"]["curves"]
        names = ("vocab_coverage", "distinct_1", "distinct_2", "distinct_3", "distinct_4")
        compression = cell["text"]["compression_ratio"]
        rows.append((cell["name"], *(f"{curves[name][-1]:.3f}" for name in names), fixed(compression)))
    return header, rows


def shape_rows(cells: list[CorpusCell]) -> Rows:
    """Duplicates, loops and lengths of the same documents."""
    header = ("corpus", "duplicates", "near-dup.", "loops", "round trip", "ended", "mean length", "median", "p95")
    rows: list[tuple[str, ...]] = []
    shares = ("duplicate_rate", "near_duplicate_rate", "repetition_rate", "round_trip_rate", "eos_rate")
    for cell in cells:
        text = cell["text"]
        lengths = (f"{text['length_mean']:.1f}", f"{text['length_median']:.0f}", f"{text['length_p95']:.0f}")
        rows.append((cell["name"], *(f"{text[name]:.2%}" for name in shares), *lengths))
    return header, rows
