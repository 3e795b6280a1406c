"""How much is held out."""

import pytest

from generation.writing.splits import held_out_budget


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        (1, 20_000), (20_000, 20_000), (400_000, 20_000), (400_020, 20_001), (1_000_000, 50_000),
        (40_000_000, 2_000_000), (10**9, 2_000_000),
    ],
)  # fmt: skip
def test_the_held_out_budget_is_five_percent_between_its_limits(train: int, held_out: int) -> None:
    assert held_out_budget(train) == held_out
