"""Latents shown by the contexts that excite them most, token by token, in the form the report draws.

An example block is `{"title", "rows": [{"latent", "corpus", "tokens": [str], "values": [float], "note"}]}`: the activation of
one latent on each token of a context, the strongest context first. A row of a latent that was matched with one of another SAE
also holds `partner_corpus`, `partner_seed`, `partner_latent`, `partner_cosine`, and the partner's context of the same rank:
`partner_text` (the corpus it is from), `partner_tokens`, `partner_values`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.files import write_atomically
from studies.common.codes import CodedText
from studies.common.results import ExampleBlock, ExampleRow

AROUND = 24
PER_LATENT = 5


@dataclass(frozen=True)
class Partner:
    """The latent of another SAE that one was matched with.

    Attributes:
        sae: which of the text's codes are that SAE's.
        corpus, seed: of that SAE; the seed is None where it states none.
        latent: its number there.
        cosine: between the two decoder rows.
    """

    sae: int
    corpus: str
    seed: int | None
    latent: int
    cosine: float


def latent_examples(
    title: str,
    latents: Sequence[int],
    notes: Mapping[int, str],
    coded: CodedText,
    sae: int,
    parts: Sequence[str],
    part_of_rows: np.ndarray,
    tokenizer: Any,
    partners: Mapping[int, Partner] | None = None,
) -> ExampleBlock:
    """The contexts in which latents are most active.

    Args:
        title: of the block.
        latents: those to show, in order; one that never fires on the text has no row.
        notes: a sentence for each.
        coded: the text and its codes.
        sae: which of its codes.
        parts, part_of_rows: names of the corpora, and for each row the place of its own.
        tokenizer: of the model.
        partners: by latent, for those that have one.
    """
    rows: list[ExampleRow] = []
    for latent in latents:
        found = strongest_contexts(latent, coded, sae, parts, part_of_rows, tokenizer, PER_LATENT)
        partner = (partners or {}).get(latent)
        beside: list[ExampleRow] = [{}] * len(found)
        if partner is not None:
            beside = _beside(partner, coded, parts, part_of_rows, tokenizer, len(found))
        rows += [
            {"latent": int(latent), **one, "note": notes[latent], **other}
            for one, other in zip(found, beside, strict=True)
        ]
    return {"title": title, "rows": rows}


def write_examples(path: Path, blocks: Sequence[ExampleBlock]) -> None:
    """Write examples.parquet: title, latent, corpus, tokens, values, note, and the columns of the partner."""
    import polars as pl

    schema: dict[str, Any] = {
        "title": pl.String, "latent": pl.Int64, "corpus": pl.String, "tokens": pl.List(pl.String),
        "values": pl.List(pl.Float64), "note": pl.String, "partner_corpus": pl.String, "partner_seed": pl.Int64,
        "partner_latent": pl.Int64, "partner_cosine": pl.Float64, "partner_text": pl.String,
        "partner_tokens": pl.List(pl.String), "partner_values": pl.List(pl.Float64),
    }  # fmt: skip
    empty: dict[str, Any] = dict.fromkeys(schema)
    rows = [empty | {"title": block["title"]} | row for block in blocks for row in block["rows"]]
    table = pl.DataFrame(rows, schema=schema)
    write_atomically(path, lambda temporary: table.write_parquet(temporary))


def _beside(
    partner: Partner, coded: CodedText, parts: Sequence[str], part_of_rows: np.ndarray, tokenizer: Any, count: int
) -> list[ExampleRow]:
    """The partner's columns for so many rows: in each its next context, in the last ones none where it has fewer."""
    found = strongest_contexts(partner.latent, coded, partner.sae, parts, part_of_rows, tokenizer, count)
    nothing: ExampleRow = {"corpus": None, "tokens": [], "values": []}
    return [
        {
            "partner_corpus": partner.corpus,
            "partner_seed": partner.seed,
            "partner_latent": partner.latent,
            "partner_cosine": round(partner.cosine, 4),
            "partner_text": context["corpus"],
            "partner_tokens": context["tokens"],
            "partner_values": context["values"],
        }
        for context in [*found, *[nothing] * (count - len(found))]
    ]


def strongest_contexts(
    latent: int, coded: CodedText, sae: int, parts: Sequence[str], part_of_rows: np.ndarray, tokenizer: Any, most: int
) -> list[ExampleRow]:
    """The contexts in which a latent is most active: `corpus`, `tokens` and `values` around its strongest token."""
    codes = coded.codes[sae]
    strength = (codes.values * (codes.latents == latent)).sum(1).numpy()
    order = np.argsort(-strength, kind="stable")
    order = order[strength[order] > 0]
    strongest = np.sort(np.unique(coded.owners[order], return_index=True)[1])[:most]
    found: list[ExampleRow] = []
    for token in order[strongest]:
        owner = int(coded.owners[token])
        row = coded.rows[owner]
        inside = np.flatnonzero(coded.owners == owner)
        values = np.zeros(len(row))
        values[coded.positions[inside]] = strength[inside]
        middle = int(coded.positions[token])
        first, last = max(1, middle - AROUND), min(len(row), middle + AROUND // 2)
        found.append(
            {
                "corpus": parts[part_of_rows[owner]],
                "tokens": [tokenizer.decode([int(one)]) for one in row[first:last]],
                "values": [round(float(value), 4) for value in values[first:last]],
            }
        )
    return found
