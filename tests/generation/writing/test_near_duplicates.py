"""Duplicates by hash and by MinHash."""

import math

import numpy as np
import pytest

from generation.scoring.copies import repeated_documents
from generation.writing.near_duplicates import count_distinct, document_hashes, near_duplicates, repeats, signatures
from tests.generation.writing.rows import (
    EOS,
    jaccard,
    random_rows,
)


def join(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([token for row in rows for token in row], np.int64)
    return tokens, np.cumsum([0, *map(len, rows)])


def test_document_hashes_depend_on_content_order_and_length_alone():
    rows = [[1, 2], [2, 1], [1], [0], [0, 0], [], [1, 2, 0], [1, 2]]
    hashes = document_hashes(*join(rows))
    assert hashes.shape == (2, 8)
    assert hashes[:, 0].tolist() == hashes[:, 7].tolist()
    for row in hashes:
        assert len(set(row.tolist())) == 7
    assert count_distinct(hashes) == 7
    assert count_distinct(hashes[:, :0]) == 0


def test_thue_morse_documents_do_not_collide():
    word = [1]
    for _ in range(11):
        word += [3 - token for token in word]
    assert count_distinct(document_hashes(*join([word, [3 - token for token in word]]))) == 2


def test_distinct_documents_need_only_one_hash_to_differ():
    hashes = np.array([[5, 5, 5, 6, 5], [1, 2, 1, 1, 2]], np.uint64)
    assert count_distinct(hashes) == 3


def planted_pairs(rng: np.random.Generator, pairs: int, places: list[int]) -> list[list[int]]:
    """Rows i and i + pairs: 400 random tokens that differ at `places` alone."""
    originals = rng.integers(0, 50_000, (pairs, 400))
    copies = originals.copy()
    copies[:, places] += 50_000
    return [*originals.tolist(), *copies.tolist()]


def test_planted_pairs_at_095_are_found_among_random_documents():
    rng = np.random.default_rng(7)
    rows = planted_pairs(rng, 200, [100, 250]) + rng.integers(0, 50_000, (500, 300)).tolist()
    assert jaccard(rows[0], rows[200]) == pytest.approx(0.95, abs=0.01)
    assert np.array_equal(near_duplicates(*join(rows)), np.arange(900) < 400)


def test_planted_pairs_at_03_are_not_found():
    rows = planted_pairs(np.random.default_rng(8), 200, list(range(7, 400, 9)))
    assert jaccard(rows[0], rows[200]) == pytest.approx(0.3, abs=0.03)
    assert not near_duplicates(*join(rows)).any()


def test_signatures_estimate_jaccard_without_bias():
    rows = planted_pairs(np.random.default_rng(9), 300, list(range(0, 400, 40)))
    minima = signatures(*join(rows))
    truth = jaccard(rows[0], rows[300])
    estimates = (minima[:300] == minima[300:]).mean(axis=1)
    error = math.sqrt(truth * (1 - truth) / 128)
    assert 0.7 < truth < 0.85
    assert estimates.mean() == pytest.approx(truth, abs=4 * error / math.sqrt(300))
    assert estimates.std() == pytest.approx(error, rel=0.2)


def test_signatures_do_not_depend_on_the_other_documents():
    rows = random_rows(np.random.default_rng(10), 40) + np.random.default_rng(11).integers(0, 9, (3, 40_000)).tolist()
    together = signatures(*join(rows))
    assert together.dtype == np.uint32
    for row, signature in zip(rows, together, strict=True):
        assert np.array_equal(signatures(*join([row])), [signature])


def test_short_documents_are_one_shingle():
    rows = [[1, 2], [1, 2, 3], [EOS], [1, 2], [EOS], [1, 2, 3, 4], [9] * 6, [9] * 7]
    assert near_duplicates(*join(rows)).tolist() == [True, False, True, True, True, False, True, True]


def test_repeats_equal_a_set_of_what_was_seen() -> None:
    generator = np.random.default_rng(1)
    documents = [generator.integers(0, 3, generator.integers(1, 4)) for _ in range(300)]
    offsets = np.concatenate([[0], np.cumsum([len(d) for d in documents])])
    found = repeats(document_hashes(np.concatenate(documents), offsets))
    assert (found == repeated_documents(documents)).all()
