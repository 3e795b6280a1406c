"""Which k is best, over all seeds and without each; what is contrasted at every k is in the test of the whole study."""

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
    assert best_k({k: {0: value} for k, value in c_dec.items()}) == expected | {"without": {}}


def test_a_seed_has_no_part_in_the_choice_that_it_is_scored_at() -> None:
    """Seed 2 alone makes k 8 the best."""
    found = best_k({4: {0: 0.20, 1: 0.20, 2: 0.50}, 8: {0: 0.25, 1: 0.25, 2: 0.10}})
    assert found == {"k": 8, "at_edge": True, "without": {"0": 8, "1": 8, "2": 4}}
