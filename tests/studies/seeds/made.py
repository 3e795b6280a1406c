"""SAEs' directions that are in memory, as studies read those of files."""

from torch import Tensor

from studies.seeds.matching import Directions


def directions(decoder: Tensor, encoder: Tensor | None = None) -> Directions:
    """Of rows that are here."""
    return Directions(lambda: decoder, None if encoder is None else lambda: encoder)
