"""What the copy test bets on, and exact duplicates."""

from collections.abc import Iterator

import numpy as np
import pytest

from generation.scoring.copies import copy_predictions, predictions_within, repeated_documents
from generation.scoring.scored_part import joined


def test_copies_are_those_of_a_naive_search() -> None:
    generator = np.random.default_rng(0)
    documents = [generator.integers(0, 3, generator.integers(1, 40)) for _ in range(60)]
    documents[20] = documents[3].copy()
    last: dict[tuple[int, ...], int] = {}
    expected = []
    for document in documents:
        for place in range(len(document)):
            context = tuple(document[place - 4 : place].tolist()) if place >= 4 else None
            expected.append(last.get(context, -1) if context else -1)
            if context:
                last[context] = int(document[place])
    lengths = np.array([len(document) for document in documents])
    found = copy_predictions(np.concatenate(documents), lengths, order=4)
    assert found.tolist() == expected
    assert (found >= 0).sum() > 100


@pytest.mark.parametrize("at_once", [10_000, 40, 7])
@pytest.mark.parametrize("share", [1.0, 0.3, 0.05])
def test_copies_of_scored_documents_are_looked_for_in_all(share: float, at_once: int) -> None:
    """The whole split comes in batches, and is read as often as the contexts of the scored tokens need."""
    draw = np.random.default_rng(3)
    documents = [draw.integers(0, 4, draw.integers(0, 40)) for _ in range(80)]
    scored = (draw.random(80) < share) & (np.array([len(document) for document in documents]) > 0)
    scored[70] = len(documents[70]) > 0
    lengths = np.array([len(document) for document in documents])
    everything = copy_predictions(np.concatenate(documents), lengths, order=3)
    expected = everything[np.repeat(scored, lengths)]
    readings = 0

    def split() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal readings
        readings += 1
        for first in range(0, 80, 9):
            yield from joined(documents[first : first + 9])

    chosen = [document for document, one in zip(documents, scored, strict=True) if one]
    found = predictions_within(split, scored, lambda: joined(chosen), order=3, at_once=at_once)
    assert found.tolist() == expected.tolist()
    assert 1 <= readings <= -(-len(expected) // at_once)
    assert (readings > 1) == (len(expected) > at_once)
    assert (found >= 0).any()


def test_repeated_documents() -> None:
    a, b = np.array([1, 2, 3]), np.array([1, 2])
    assert repeated_documents([a, b, a, b[:1], a]).tolist() == [False, False, True, False, True]
