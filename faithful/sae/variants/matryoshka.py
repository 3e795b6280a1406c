"""Matryoshka SAEs (Bussmann et al. 2025, arXiv 2503.17547): the first latents are to explain the activations alone."""

from dataclasses import dataclass
from typing import Annotated

from faithful.base.errors import FaithfulError
from faithful.base.shapes import Between
from faithful.sae.variants.batchtopk import BatchTopK


@dataclass(frozen=True)
class Matryoshka(BatchTopK):
    """BatchTopK whose loss is the mean fvu of nested SAEs, each half as wide as the next.

    Attributes:
        levels: how many there are.
    """

    levels: Annotated[int, Between(2, 16)] = 4

    def check(self, d_sae: int, k: int) -> None:
        """See `Variant`."""
        if d_sae >> (self.levels - 1) < 1:
            raise FaithfulError(
                f"{d_sae} latents cannot be halved {self.levels - 1} times; use fewer levels of the variant {self.name}."
            )

    def prefixes(self, d_sae: int) -> tuple[int, ...]:
        """See `Variant`."""
        return tuple(d_sae >> level for level in reversed(range(self.levels)))


VARIANT = Matryoshka
