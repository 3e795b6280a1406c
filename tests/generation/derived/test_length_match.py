"""Lengths apportioned, and documents chosen for them, as a plain search would."""

import numpy as np
import pytest

from generation.derived.length_match import apportion, assign, lacking, largest_match, next_match, smallest_match


@pytest.mark.parametrize("seed", range(40))
def test_lengths_are_apportioned_and_documents_assigned_as_a_naive_search_would(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 12, draw.integers(1, 40)).astype(np.int32)
    other = draw.integers(1, 14, draw.integers(1, 60)).clip(max=lengths.max())
    longest = int(other.max())
    histogram = np.bincount(other)
    supply = np.bincount(lengths.clip(max=longest), minlength=longest + 1)

    def possible(wanted: np.ndarray) -> bool:
        pool = sorted(lengths.tolist())
        for length in range(longest, -1, -1):
            for _ in range(wanted[length]):
                if not pool or pool.pop() < length:
                    return False
        return True

    for documents in range(1, len(lengths) + 2):
        wanted = apportion(histogram, documents)
        exact = histogram * documents / histogram.sum()
        assert wanted.sum() == documents
        assert np.abs(wanted - exact).max() < 1
        down, up = exact - np.floor(exact), wanted > np.floor(exact)
        if up.any() and not up.all():
            assert down[up].min() >= down[~up].max() - 1e-9
        assert possible(wanted) == (len(lacking(wanted, supply)) == 0)
    most = largest_match(histogram, supply)
    assert possible(apportion(histogram, most))
    assert not possible(apportion(histogram, most + 1))
    tokens = int(draw.integers(1, 200))
    fewest = smallest_match(histogram, tokens)
    sizes = np.arange(len(histogram))
    assert apportion(histogram, fewest) @ sizes >= tokens
    assert fewest == 1 or apportion(histogram, fewest - 1) @ sizes < tokens

    wanted = apportion(histogram, most)
    rows, kept = assign(lengths, draw.random(len(lengths)), wanted)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert (kept <= lengths[rows]).all()
    assert np.bincount(kept, minlength=longest + 1).tolist() == wanted.tolist()
    assert int((kept == lengths[rows]).sum()) == int(np.minimum(wanted, np.bincount(lengths)[: longest + 1]).sum())


@pytest.mark.parametrize("seed", range(60))
def test_every_number_of_tokens_that_lengths_allow_can_be_had(seed: int) -> None:
    """Rounded shares do not grow with the number of documents: a smaller number may not fit where a larger one does."""
    draw = np.random.default_rng(seed)
    histogram, supply = draw.integers(0, 30, 6), draw.integers(0, 12, 6)
    if not seed:
        histogram, supply = np.array([0, 26, 7, 21, 4, 3]), np.array([0, 3, 11, 11, 10, 1])
    histogram[0], supply[0], histogram[-1], supply[-1] = 0, 0, max(histogram[-1], 1), max(supply[-1], 1)
    lengths = np.repeat(np.arange(6), supply).astype(np.int32)
    most, sizes, skipped = largest_match(histogram, supply), np.arange(6), 0
    for tokens in range(1, int(apportion(histogram, most) @ sizes) + 1):
        fewest = smallest_match(histogram, tokens)
        if fewest > most:
            continue
        documents = next_match(histogram, supply, fewest, most)
        skipped += documents - fewest
        wanted = apportion(histogram, documents)
        assert not len(lacking(wanted, supply))
        assert all(len(lacking(apportion(histogram, count), supply)) for count in range(fewest, documents))
        assert len(assign(lengths, draw.random(len(lengths)), wanted)[0]) == documents
    assert skipped or seed
