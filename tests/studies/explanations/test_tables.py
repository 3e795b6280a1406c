"""What a terminal and the report show of the study, and its figure."""

from typing import Any

import polars as pl

from studies.explanations.config import STUDY, ExplanationsConfig
from studies.explanations.kept import EXPLANATIONS
from tests.studies.explanations.oracle import Server

Explained = tuple[ExplanationsConfig, dict[str, Any], Server]


def test_tables_say_who_explained_what_was_asked_and_the_controls(explained: Explained) -> None:
    summary: Any = explained[1]
    tables = STUDY.tables(summary)
    assert all(len(row) == len(one.header) for one in tables for row in one.rows)
    assert tables[0].title.startswith("Latents that oracle explains better than chance (p < 0.05), 6 of each SAE")
    assert [row[0] for row in tables[0].rows] == ["own", "cool"]
    assert tables[1].rows == [("72", "0", "108", "0", f"{72 * 7 + 324 * 7:,}", f"{72 * 3 + 324 * 3:,}")]
    assert "another's sentence" in tables[-1].header and "untrained start" in tables[-1].header


def test_examples_quote_the_explanation_with_its_score(explained: Explained) -> None:
    config, summary, _ = explained
    blocks = summary["examples"]
    assert [block["title"].rpartition(" of ")[2] for block in blocks] == ["own seed 0", "cool seed 0"]
    latents = pl.read_parquet(config.out / EXPLANATIONS).filter(corpus="own", seed=0)
    said = {row["latent"]: row for row in latents.to_dicts()}
    for row in blocks[0]["rows"]:
        of = said[row["latent"]]
        assert row["note"] == f"“{of['explanation']}” detection {of['detection']:.2f}, p {of['p']:.2g}"
        assert len(row["tokens"]) == len(row["values"]) and max(row["values"]) > 0
