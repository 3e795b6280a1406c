"""TopK with AuxK (Gao et al. 2024), the default: nothing is added."""

from faithful.sae.variant import Variant


class TopK(Variant):
    """The training step as `Stack` makes it."""


VARIANT = TopK
