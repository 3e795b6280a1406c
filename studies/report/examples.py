"""Examples of latents as the report shows them: a context token by token, and that of the latent it was matched with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Example:
    """A context in which a latent is active.

    Attributes:
        corpus: where the context is from.
        tokens: each with its activation as a share of the largest one of the context, and the activation itself.
        note: what is said of the latent.
    """

    corpus: str
    tokens: list[tuple[str, float, float]]
    note: str


def examples_of(row: Mapping[str, Any]) -> list[Example]:
    """A row of `studies.common.examples`: a latent's context, and after it that of its match in another SAE."""
    found = [_example(row["corpus"], row["tokens"], row["values"], row.get("note") or "")]
    if row.get("partner_tokens"):
        seed = "" if row["partner_seed"] is None else f", seed {row['partner_seed']}"
        note = (
            f"its partner in the SAE of {row['partner_corpus']}{seed}: latent {row['partner_latent']}, cosine"
            f" {row['partner_cosine']:.2f}"
        )
        found.append(_example(row["partner_text"], row["partner_tokens"], row["partner_values"], note))
    return found


def _example(corpus: str, tokens: Sequence[str], values: Sequence[float], note: str) -> Example:
    largest = max([abs(value) for value in values], default=0.0) or 1.0
    shares = [(token, max(0.0, value) / largest, value) for token, value in zip(tokens, values, strict=True)]
    return Example(corpus, shares, note)
