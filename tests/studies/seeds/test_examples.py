"""The latents that the seed study shows."""

import re
from pathlib import Path
from typing import Any

import polars as pl


def test_examples_show_tokens_with_their_activations(studied: tuple[Path, dict[str, Any]]) -> None:
    blocks = studied[1]["examples"]
    assert len(blocks) == 4
    for block in blocks:
        for row in block["rows"]:
            assert len(row["tokens"]) == len(row["values"]) and max(row["values"]) > 0
            assert row["corpus"] in ("own", "cool")
            assert re.match(r"fires on \d+\.\d\d% of the text; mean matched", row["note"])
            assert row["partner_corpus"] in block["title"] and row["partner_seed"] == 1
            assert len(row["partner_tokens"]) == len(row["partner_values"])
    assert len(pl.read_parquet(studied[0] / "examples.parquet")) == sum(len(block["rows"]) for block in blocks)
