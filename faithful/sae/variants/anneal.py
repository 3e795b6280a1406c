"""k falls along half a cosine to what was asked for: latents compete later, when they know what they are for."""

from dataclasses import dataclass
from typing import Annotated

from faithful.base.shapes import Between
from faithful.sae.parts.schedules import cosine
from faithful.sae.variant import Phase, Variant


@dataclass(frozen=True)
class Anneal(Variant):
    """TopK that begins with more latents per token.

    Attributes:
        start: how many times k latents fire at first.
        until: share of the training after which k is what was asked for.
    """

    start: Annotated[float, Between(1, 1024)] = 4.0
    until: Annotated[float, Between(0.01, 0.95)] = 0.8

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        """See `Variant`."""
        return Phase(round(k * (1 + (self.start - 1) * cosine(fraction, self.until))), auxk)


VARIANT = Anneal
