"""Records of latents, and numbers as the pages have them."""

import math
from typing import Any

import numpy as np
import torch

from studies.browse.effects import SHOWN, Effects
from studies.browse.latents import SaeFound, short
from studies.browse.studied import OfSae


class Silent:
    """Firings of latents that fire nowhere."""

    largest = np.zeros(3)

    def contexts(self, latent: int) -> tuple[list[object], list[object]]:
        return [], [[]] * 5

    def histogram(self, latent: int, end: float) -> list[int]:
        return [0]


def test_a_latent_that_adds_nothing_has_no_tokens_that_it_raises() -> None:
    """Which ones would be first of equals; a latent may still lower all, or raise them."""
    ids, values = torch.arange(SHOWN).repeat(3, 1), torch.zeros(3, SHOWN)
    values[1, 0], lowered = 0.5, torch.zeros(3, SHOWN)
    lowered[2, 0] = -0.5
    silent: Any = Silent()
    found = SaeFound([], silent, silent, Effects(ids, values, ids, lowered), OfSae(), {})
    records = [found.record(latent) for latent in range(3)]
    assert [("up" in one, "down" in one) for one in records] == [(False, False), (True, True), (True, True)]
    assert [found.words(one)[1] for one in records] == [[], [0, 1, 2], [0, 1, 2]]


def test_numbers_have_four_digits_and_what_is_none_is_null() -> None:
    assert [short(value) for value in (0.123456, 12345.6, 2.0, 0.0, math.nan)] == [0.1235, 12350, 2, 0, None]
    assert isinstance(short(np.float32(2)), int) and short(np.float32(0.1)) == 0.1
