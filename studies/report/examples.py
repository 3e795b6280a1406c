"""Latents as the report shows them: one card each, its contexts token by token, and beside them those of its match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Example:
    """A context in which a latent is active.

    Attributes:
        corpus: where the context is from.
        tokens: each with its activation as a share of the largest one of the context, and the activation itself.
    """

    corpus: str
    tokens: list[tuple[str, float, float]]

    @property
    def largest(self) -> float:
        """The largest activation in it; 0 for none."""
        return max((value for _, _, value in self.tokens), default=0.0)


@dataclass(frozen=True)
class Card:
    """One latent.

    Attributes:
        title: `latent 12 · mean matched cosine over 5 other seeds 0.93`.
        contexts: in which it is most active, the strongest first.
        partner: which latent of another SAE it was matched with, '' for none.
        partner_contexts: those of that one.
    """

    title: str
    contexts: list[Example]
    partner: str
    partner_contexts: list[Example]

    @property
    def top(self) -> list[str]:
        """Its strongest token of each context, each once."""
        strongest = [max(one.tokens, key=lambda token: token[2])[0] for one in self.contexts if one.tokens]
        return list(dict.fromkeys(strongest))


def cards_of(rows: Sequence[Mapping[str, Any]]) -> list[Card]:
    """The rows of a block of `studies.common.examples`, a card for each run of rows of one latent."""
    cards = []
    for latent, group in groupby(rows, key=lambda row: row.get("latent")):
        of = list(group)
        first = of[0]
        beside = [row for row in of if row.get("partner_tokens")]
        title = " · ".join(filter(None, ["" if latent is None else f"latent {latent}", first.get("note") or ""]))
        mine = [_example(row["corpus"], row["tokens"], row["values"]) for row in of]
        other = [_example(row["partner_text"], row["partner_tokens"], row["partner_values"]) for row in beside]
        cards.append(Card(title, mine, _partner(beside[0]) if beside else "", other))
    return cards


def _partner(row: Mapping[str, Any]) -> str:
    seed = "" if row["partner_seed"] is None else f", seed {row['partner_seed']}"
    return (
        f"its partner in the SAE of {row['partner_corpus']}{seed}: latent {row['partner_latent']}, cosine"
        f" {row['partner_cosine']:.2f}"
    )


def _example(corpus: str, tokens: Sequence[str], values: Sequence[float]) -> Example:
    largest = max([abs(value) for value in values], default=0.0) or 1.0
    shares = [(token, max(0.0, value) / largest, value) for token, value in zip(tokens, values, strict=True)]
    return Example(corpus, shares)
