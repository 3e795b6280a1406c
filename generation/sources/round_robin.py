"""Many files, or parts of files, as one stream: permuted by a seed, several open at once, one item from each in turn."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np

from faithful.store.manifest_parts import RowsState

OPEN_FILES = 16
T = TypeVar("T")


class RoundRobin(Generic[T]):
    """Where a stream over many files stands. Its order depends on the seed and the number of files alone.

    A file that ends gives its place to the next of the permutation.

    Args:
        seed: of the permutation, ≥ 0.
        state: what `state()` gave, None for the beginning.
        width: how many files are open at once.
    """

    def __init__(self, seed: int, state: RowsState | None = None, width: int = OPEN_FILES) -> None:
        self.seed, self.width = seed, width
        self.following: int = state["following"] if state else 0
        self.open: list[list[int]] = [list(place) for place in state["open"]] if state else []
        self.turn: int = state["turn"] if state else 0

    def items(self, files: int, open_file: Callable[[int, int], Iterator[tuple[int, T]]]) -> Iterator[T]:
        """The items from the present state on.

        Args:
            files: number of files.
            open_file: from a file and a number of rows to skip to pairs (rows of the file consumed so far, item).
        """
        order = np.random.default_rng(self.seed).permutation(files)
        readers = [open_file(file, rows) for file, rows in self.open]
        while True:
            while len(self.open) < self.width and self.following < files:
                self._take(int(order[self.following]), readers, open_file)
            if not self.open:
                return
            found = next(readers[self.turn], None)
            if found is None:
                del self.open[self.turn], readers[self.turn]
                if self.following < files:
                    self._take(int(order[self.following]), readers, open_file, self.turn)
                self.turn %= max(len(self.open), 1)
                continue
            self.open[self.turn][1], item = found
            self.turn = (self.turn + 1) % len(self.open)
            yield item

    def state(self) -> RowsState:
        """The place right after the last item yielded, as JSON values."""
        return {"following": self.following, "open": [list(place) for place in self.open], "turn": self.turn}

    def _take(
        self,
        file: int,
        readers: list[Iterator[tuple[int, T]]],
        open_file: Callable[[int, int], Iterator[tuple[int, T]]],
        place: int | None = None,
    ) -> None:
        place = len(self.open) if place is None else place
        self.open.insert(place, [file, 0])
        readers.insert(place, open_file(file, 0))
        self.following += 1
