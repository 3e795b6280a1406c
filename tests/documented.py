"""Which names have a line in docs/metrics.md: those in backticks in the first cell of a table's row, by section."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

METRICS = Path(__file__).parents[1] / "docs" / "metrics.md"
PLACEHOLDERS = {
    "FLOOR": "floor_(random|covariance|init|gaussian)",
    "METRIC": "[a-z][a-z0-9_]*",
    "TEST": "[a-z_]+",
    "TASK": "[^:]+",
    "INPUT": "(h|f|h_hat|start)",
    "SIDE": "(train|test)",
    "CONTROL": "(shuffled|unigram|permuted_model|untrained|permuted decoder|untrained start|oracle)",
    "C": "(random|permuted|untrained)",
    "P": r"\d+",
    "K": r"\d+",
    "Q": r"0\.\d+",
}
"""What stands for many names in one line."""


def patterns(section: str) -> list[re.Pattern[str]]:
    """The names of a section, its subsections included, as patterns."""
    text = METRICS.read_text(encoding="utf-8")
    part = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert part is not None, f"docs/metrics.md has no section {section}"
    cells = [line.split("|")[1] for line in part[1].splitlines() if line.startswith("|")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [re.compile(re.sub(r"[A-Z]+", lambda found: PLACEHOLDERS[found[0]], name)) for name in names]


def undocumented(section: str, names: Iterable[str]) -> list[str]:
    """The names that no line of a section is about."""
    known = patterns(section)
    return sorted({name for name in names if not any(one.fullmatch(name) for one in known)})


def names_of_study(folder: Path) -> set[str]:
    """Every metric that a study wrote: those of results.parquet, and those of its corpora and contrasts in summary.json."""
    import polars as pl

    from studies.common.results import read_summary

    summary = read_summary(folder / "summary.json")
    found = set(pl.read_parquet(folder / "results.parquet")["metric"])
    for figures in summary["corpora"].values():
        found |= set(figures)
    return (found | {str(entry["metric"]) for entry in summary["contrasts"]}) - {"verdict"}


def keys_of_contrasts(summary: Mapping[str, Any]) -> set[str]:
    """The figures of a study's contrasts."""
    words = {"a", "b", "metric", "text", "texts", "headline", "sentence"}
    return {key for entry in summary["contrasts"] for key in entry} - words
