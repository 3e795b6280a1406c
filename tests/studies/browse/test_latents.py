"""Numbers as the pages have them."""

import math

import numpy as np

from studies.browse.latents import short


def test_numbers_have_four_digits_and_what_is_none_is_null() -> None:
    assert [short(value) for value in (0.123456, 12345.6, 2.0, 0.0, math.nan)] == [0.1235, 12350, 2, 0, None]
    assert isinstance(short(np.float32(2)), int) and short(np.float32(0.1)) == 0.1
