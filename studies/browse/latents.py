"""One SAE as the pages have it: a row of the list for each latent, and all that is known of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faithful.store.saes import TrainedSae
from studies.browse.contexts import Firings
from studies.browse.effects import Effects
from studies.browse.studied import OfSae

FEW = 3
"""Tokens of a latent that the list shows, and that it is searched by."""


@dataclass(frozen=True)
class SaeFound:
    """What was found of an SAE.

    Attributes:
        rows: contexts of the text, int64 [≤ context] each.
        text, noise: its firings on them and on random tokens.
        effects: of its latents on the next token; None where that is not known.
        studied: what studies say of its latents.
        places: of the SAEs that are shown, by SAE: partners in others are left out.
    """

    rows: Sequence[np.ndarray]
    text: Firings
    noise: Firings
    effects: Effects | None
    studied: OfSae
    places: Mapping[TrainedSae, int]

    def record(self, latent: int) -> dict[str, Any]:
        """What the page of a latent shows: `max`, its largest activation on text; `text` and `noise`, tokens by activation in
        equal bins up to the largest one on either (`end`); `top` and `fifths`, see `Firings.contexts`; `up` and `down`, ids
        of tokens and what is added to their logits, where that is anything; `partners`, an SAE's place, its latent and the
        cosine each; `weights`, task by task."""
        top, fifths = self.text.contexts(latent)
        largest, end = (
            float(self.text.largest[latent]),
            float(max(self.text.largest[latent], self.noise.largest[latent])),
        )
        found: dict[str, Any] = {
            "max": short(largest), "end": short(end), "text": self.text.histogram(latent, end),
            "noise": self.noise.histogram(latent, end), "top": top, "fifths": fifths,
        }  # fmt: skip
        of = self.effects
        if of is not None and (
            of.up[latent].any() or of.down[latent].any()
        ):  # not of a row of zeros, as of a shut gate
            for name, ids, values in (("up", of.raised, of.up), ("down", of.lowered, of.down)):
                found[name] = [ids[latent].tolist(), [short(value) for value in values[latent].tolist()]]
        found["partners"] = [
            [self.places[one.other], int(one.columns[latent]), short(one.cosines[latent])]
            for one in self.studied.partners
            if one.columns[latent] >= 0 and one.other in self.places
        ]
        return found | {"weights": [short(of[latent]) for of in self.studied.weights.values()]}

    def words(self, record: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """Ids of a latent's strongest tokens, and of those that it makes more probable: what the list shows of its record."""
        strongest = dict.fromkeys(int(self.rows[row][at]) for row, at, _ in record["top"])
        return list(strongest)[:FEW], record["up"][0][:FEW] if "up" in record else []

    def lists(self, words: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
        """Columns of the list, of as many latents as there are `words`; and explanations, of those that have one, with
        the latents of which they tell more than chance (`explained`)."""
        figures = {"density": self.text.density, "noise": self.noise.density, "max": self.text.largest}
        found: dict[str, Any] = {
            name: [short(value) for value in of[: len(words)]] for name, of in (figures | self.studied.columns).items()
        }
        said = {latent: one for latent, one in self.studied.explanations.items() if latent < len(words)}
        found["explanations"] = {latent: one.text for latent, one in said.items()}
        found["explained"] = [latent for latent, one in said.items() if one.explained]
        return found | {"tokens": [strongest for strongest, _ in words], "raised": [raised for _, raised in words]}


def short(value: float) -> float | None:
    """A number to four digits, a whole one without a point; None where it is none."""
    if math.isnan(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded
