"""Examples drawn by the hash of their text."""

import pytest

from studies.probes.tasks.examples import Reservoir
from tests.studies.probes.data import RNG


def test_a_reservoir_keeps_the_smallest_hashes_once() -> None:
    names = [f"t{number}" for number in range(500)]
    whole, small = Reservoir(500, 3), Reservoir(20, 3)
    for name in names + names[::-1]:
        whole.offer(name, (name, 0, ""))
        small.offer(name, (name, 0, ""))
    assert small.items() == whole.items()[:20]
    assert sorted(name for name, _ in whole.items()) == sorted(names)
    assert [name for name, _ in whole.items()] != names
    assert Reservoir(0, 0).items() == []


@pytest.mark.parametrize("order", range(4))
def test_a_text_of_two_classes_is_not_drawn_whatever_the_order(order: int) -> None:
    """Every 7th text has two labels; others stand in two groups, or with other white space: the draw is the same."""
    rows = [(f"t{n}", (f"t{n}", n % 2, f"g{n % 5}")) for n in range(300)]
    rows += [(f"t{n}", (f"t{n}", 1 - n % 2, f"g{n % 5}")) for n in range(0, 300, 7)]
    rows += [(f"t{n}", (f" t{n}", n % 2, "a")) for n in range(1, 300, 7)]
    alone = Reservoir(40, 3)
    for origin, item in rows[:300]:
        alone.offer(origin, item)
    drawn = Reservoir(40, 3)
    for place in RNG(order).permutation(len(rows)):
        drawn.offer(*rows[place])
    assert [origin for origin, _ in drawn.items()] != [origin for origin, _ in alone.items()]
    places = [int(origin[1:]) for origin, _ in drawn.items()]
    assert len(places) == 40 and all(n % 7 for n in places)
    assert 0 < drawn.contradicted() < 40
    assert all(item == (f" t{n}", n % 2, "a") for n, (_, item) in zip(places, drawn.items(), strict=True) if n % 7 == 1)
