"""A control (arXiv 2602.14111): the encoder stays the random one it began as; only the decoder learns."""

from dataclasses import dataclass

from faithful.sae.variant import Variant


@dataclass(frozen=True)
class FrozenEncoder(Variant):
    """TopK whose encoder rows and biases are not trained."""

    frozen = ("W_enc", "b_enc")
    control = True


VARIANT = FrozenEncoder
