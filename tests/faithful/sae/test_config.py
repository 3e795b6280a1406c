"""Settings of a stack: what cannot be."""

from dataclasses import dataclass, replace

import pytest

from faithful.base.errors import FaithfulError
from faithful.sae.variant import Phase, Variant
from tests.faithful.sae.data import CONFIG


@dataclass(frozen=True)
class Late(Variant):
    """More latents than there are, or none, but only at the end."""

    last: int = 97

    def phase(self, fraction: float, k: int, auxk: float) -> Phase:
        return Phase(k if fraction < 0.95 else self.last, auxk)


def test_a_k_that_does_not_fit_is_refused_whenever_it_holds() -> None:
    with pytest.raises(FaithfulError, match="k 97 does not fit 96 latents"):
        replace(CONFIG, k=97)
    with pytest.raises(
        FaithfulError, match="the variant test-config would keep 97 of 96 latents on its way to k 4; use a"
    ):
        replace(CONFIG, variant=Late())
    with pytest.raises(FaithfulError, match="the variant test-config would keep 0 of 96 latents"):
        replace(CONFIG, variant=Late(0))
    assert CONFIG.phase(0) == CONFIG.phase(CONFIG.steps - 1) == Phase(4, 1 / 32)
