"""A control (arXiv 2602.14111): decoder rows stay the random ones they began as; only the encoder learns."""

from dataclasses import dataclass

from faithful.sae.variant import Variant


@dataclass(frozen=True)
class FrozenDecoder(Variant):
    """TopK whose decoder rows are not trained."""

    frozen = ("W_dec",)
    stays = True
    control = True


VARIANT = FrozenDecoder
