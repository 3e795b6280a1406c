"""Latents shown by the contexts that excite them most, token by token, in the form the report draws.

An example block is `{"title", "rows": [{"corpus", "tokens": [str], "values": [float], "note"}]}`: the activation of one
latent on each token of a context.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faithful.files import write_atomically
from studies.codes import CodedText

AROUND = 24
PER_LATENT = 1


def latent_examples(
    title: str,
    latents: Sequence[int],
    notes: Mapping[int, str],
    coded: CodedText,
    sae: int,
    parts: Sequence[str],
    part_of_rows: np.ndarray,
    tokenizer: Any,
    per_latent: int = PER_LATENT,
) -> dict[str, Any]:
    """The contexts in which latents are most active.

    Args:
        title: of the block.
        latents: those to show, in order.
        notes: a sentence for each.
        coded: the text and its codes.
        sae: which of its codes.
        parts, part_of_rows: names of the corpora, and for each row the place of its own.
        tokenizer: of the model.
        per_latent: contexts of each.
    """
    codes = coded.codes[sae]
    rows = []
    for latent in latents:
        hit = codes.latents == latent
        strength = (codes.values * hit).sum(1).numpy()
        best: dict[int, int] = {}
        for token in np.argsort(-strength, kind="stable")[: 50 * per_latent]:
            if strength[token] > 0 and len(best) < per_latent:
                best.setdefault(int(coded.owners[token]), int(token))
        for owner, token in best.items():
            row = coded.rows[owner]
            inside = np.flatnonzero(coded.owners == owner)
            values = np.zeros(len(row))
            values[coded.positions[inside]] = strength[inside]
            middle = int(coded.positions[token])
            first, last = max(1, middle - AROUND), min(len(row), middle + AROUND // 2)
            rows.append(
                {
                    "latent": int(latent),
                    "corpus": parts[part_of_rows[owner]],
                    "tokens": [tokenizer.decode([int(one)]) for one in row[first:last]],
                    "values": [round(float(value), 4) for value in values[first:last]],
                    "note": notes[latent],
                }
            )
    return {"title": title, "rows": rows}


def write_examples(path: Path, blocks: Sequence[Mapping[str, Any]]) -> None:
    """Write examples.parquet: title, latent, corpus, tokens, values, note."""
    import polars as pl

    schema: dict[str, Any] = {
        "title": pl.String, "latent": pl.Int64, "corpus": pl.String, "tokens": pl.List(pl.String),
        "values": pl.List(pl.Float64), "note": pl.String,
    }  # fmt: skip
    rows = [{"title": block["title"]} | row for block in blocks for row in block["rows"]]
    table = pl.DataFrame(rows, schema=schema)
    write_atomically(path, lambda temporary: table.write_parquet(temporary))
