"""Many files as one stream: everything once, in turn, and the same from any state on."""

import json
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from generation.sources.round_robin import OPEN_FILES, RoundRobin


def reader(lengths: list[int], opened: list[int] | None = None) -> object:
    def open_file(file: int, skip: int) -> Iterator[tuple[int, tuple[int, int]]]:
        if opened is not None:
            opened.append(file)
        for row in range(skip, lengths[file]):
            yield row + 1, (file, row)

    return open_file


@pytest.mark.parametrize("files", [0, 1, 2, 15, 16, 17, 60])
@pytest.mark.parametrize("width", [1, 3, OPEN_FILES])
def test_every_item_once_and_the_rest_from_every_state(files: int, width: int) -> None:
    lengths = [int(n) for n in np.random.default_rng(files).integers(0, 6, files)]
    whole = list(RoundRobin(5, None, width).items(files, reader(lengths)))
    assert sorted(whole) == [(file, row) for file in range(files) for row in range(lengths[file])]
    for cut in range(len(whole) + 1):
        place = RoundRobin(5, None, width)
        assert list(islice(place.items(files, reader(lengths)), cut)) == whole[:cut]
        state = json.loads(json.dumps(place.state()))
        assert list(RoundRobin(5, state, width).items(files, reader(lengths))) == whole[cut:]


def test_no_more_files_are_open_than_allowed_and_each_gives_in_turn() -> None:
    opened: list[int] = []
    place = RoundRobin(0, None, 4)
    items = place.items(20, reader([10] * 20, opened))
    first = [file for file, _ in islice(items, 40)]
    assert first == first[:4] * 10
    assert opened == [int(file) for file in np.random.default_rng(0).permutation(20)[:4]]
    assert len(set(first)) == 4


def test_seeds_give_orders_of_their_own() -> None:
    orders = {tuple(RoundRobin(seed).items(30, reader([2] * 30))) for seed in range(8)}
    assert len(orders) == 8
