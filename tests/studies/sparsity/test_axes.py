"""Which k is best; what is contrasted at every k is in the test of the whole study."""

from typing import Any

import pytest

from studies.sparsity.axes import best_k


@pytest.mark.parametrize(
    ("c_dec", "expected"),
    [
        ({8: 0.3, 16: 0.2, 32: 0.25}, {"k": 16, "at_edge": False}),
        ({8: 0.3, 16: 0.2}, {"k": 16, "at_edge": True}),
        ({16: 0.2, 8: 0.2, 4: 0.3}, {"k": 8, "at_edge": False}),
    ],
)
def test_the_best_k_has_the_smallest_overlap(c_dec: dict[int, float], expected: Any) -> None:
    assert best_k(c_dec) == expected
