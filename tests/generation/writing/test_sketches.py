"""Sketches: exact while they hold everything, within their stated error beyond, and the same however they are merged."""

import math
from itertools import pairwise

import numpy as np
import pytest

from generation.writing.sketches import Distinct, Diversity

VOCAB = 5000


def hashes(count: int, seed: int) -> np.ndarray:
    """Distinct 64-bit values in any order."""
    return np.random.default_rng(seed).permutation(np.arange(count, dtype=np.uint64) * np.uint64(2**64 // count))


def some_documents(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 90, rows)
    tokens = generator.zipf(1.2, int(lengths.sum())).clip(1, VOCAB) - 1
    return tokens.astype(np.int64), np.concatenate([[0], np.cumsum(lengths)])


def curves(tokens: np.ndarray, offsets: np.ndarray, budgets: list[int]) -> dict[str, list[float]]:
    """Those of documents that come all at once."""
    counter = Diversity(VOCAB, budgets)
    counter.add(tokens, offsets)
    return counter.curves()


def test_distinct_is_exact_up_to_its_size():
    values = np.random.default_rng(0).integers(2**64, size=300, dtype=np.uint64)
    sketch = Distinct(size=200)
    for count in (1, 50, 199, 200):
        sketch.add(np.repeat(values[:count], 3))
        assert sketch.count == count
    assert not sketch.full
    sketch.add(values[:201])
    assert sketch.full
    assert len(sketch.kept) == 200


def test_beyond_its_size_the_error_is_what_is_stated_and_unbiased():
    size, count = 400, 20_000
    found = []
    for seed in range(200):
        sketch = Distinct(size)
        for part in np.split(np.random.default_rng(seed).integers(2**64, size=count, dtype=np.uint64), 8):
            sketch.add(part)
        found.append(sketch.count / count - 1)
    error = 1 / math.sqrt(size - 2)
    assert np.std(found) == pytest.approx(error, rel=0.2)
    assert abs(np.mean(found)) < 4 * error / math.sqrt(len(found))
    assert np.abs(found).max() < 4.5 * error


@pytest.mark.parametrize("size", [3, 100, 10_000])
def test_merging_equals_taking_everything_at_once(size):
    values = hashes(6000, 1)
    parts = [values[:1000], values[500:4000], values[3000:], values[:0]]
    once, merged = Distinct(size), Distinct(size)
    once.add(values)
    for part in parts:
        one = Distinct(size)
        one.add(part)
        merged.merge(one)
    assert np.array_equal(once.kept, merged.kept)
    assert (once.count, once.full) == (merged.count, merged.full)
    exactly, other = Distinct(3), Distinct(3)
    exactly.add(values[:3])
    assert not exactly.full
    exactly.merge(other)
    assert exactly.count == 3


@pytest.mark.parametrize("pieces", [1, 7, 60])
def test_curves_do_not_depend_on_the_parts_that_documents_come_in(pieces):
    tokens, offsets = some_documents(300, 2)
    budgets = [1, 100, 1000, 2500, len(tokens) - 1, len(tokens)]
    counter = Diversity(VOCAB, budgets)
    for rows in np.array_split(np.arange(300), pieces):
        low, high = rows[0], rows[-1] + 1
        counter.add(tokens[offsets[low] : offsets[high]], offsets[low : high + 1] - offsets[low])
    found = counter.curves()
    for place, budget in enumerate(budgets):
        for n in range(1, 5):
            documents = [tokens[low : min(high, budget)].tolist() for low, high in pairwise(offsets)]
            grams = [tuple(row[i : i + n]) for row in documents for i in range(len(row) - n + 1)]
            assert found[f"distinct_{n}"][place] == len(set(grams)) / max(len(grams), 1), (n, budget)


def test_curves_of_more_than_a_sketch_holds_stay_within_the_stated_error():
    """Zipf n-grams in 40 parts, against the exact curves."""
    tokens, offsets = some_documents(3000, 3)
    size = 2000
    exact = curves(tokens, offsets, [1000, 10_000, 100_000, len(tokens)])
    rough = Diversity(VOCAB, exact["budgets"], size)
    for start in range(0, 3000, 75):
        piece = offsets[start : start + 76]
        rough.add(tokens[piece[0] : piece[-1]], piece - piece[0])
    found = rough.curves()
    assert found["vocab_coverage"] == exact["vocab_coverage"]
    assert found["distinct_1"] == exact["distinct_1"]
    for n in range(2, 5):
        differences = np.array(found[f"distinct_{n}"]) / exact[f"distinct_{n}"] - 1
        assert 0 < np.abs(differences).max() < 4.5 / math.sqrt(size - 2)
        assert len(rough._sketches[n].kept) == size


def test_budgets_past_the_end_are_those_of_all_tokens():
    tokens, offsets = some_documents(20, 4)
    exact = curves(tokens, offsets, [len(tokens)])
    found = curves(tokens, offsets, [len(tokens), 10**9])
    assert found["distinct_3"] == exact["distinct_3"] * 2
    assert Diversity(VOCAB, []).curves()["distinct_2"] == []
