"""Runs of 13 tokens: those of a plain search, and none across documents."""

import numpy as np

from generation.writing.grams import GRAM, KnownGrams, gram_hashes, grams_of


def plain(rows: list[list[int]]) -> list[tuple[int, tuple[int, ...]]]:
    return [(at, tuple(row[i : i + GRAM])) for at, row in enumerate(rows) for i in range(len(row) - GRAM + 1)]


def joined(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([i for row in rows for i in row], np.int64), np.cumsum([0, *map(len, rows)])


def test_hashes_are_as_many_and_as_distinct_as_the_runs() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 3, size).tolist() for size in (0, 5, 13, 40, 12, 14, 200)]
    rows.append(rows[3])
    hashes, owners = gram_hashes(*joined(rows))
    runs = plain(rows)
    assert owners.tolist() == [at for at, _ in runs]
    by_run: dict[tuple[int, ...], set[int]] = {}
    for (_, run), value in zip(runs, hashes.tolist(), strict=True):
        by_run.setdefault(run, set()).add(value)
    assert all(len(values) == 1 for values in by_run.values())
    assert len({next(iter(values)) for values in by_run.values()}) == len(by_run)
    apart, of = grams_of([np.array(row, np.int64) for row in rows])
    assert np.array_equal(apart, hashes) and np.array_equal(of, owners)


def test_texts_shorter_than_a_run_have_none() -> None:
    assert [len(part) for part in gram_hashes(*joined([[1] * 12]))] == [0, 0]
    assert not len(grams_of([])[0])


def test_met_are_those_that_stand_in_the_other_text() -> None:
    rng = np.random.default_rng(1)
    text = rng.integers(0, 1000, 60).tolist()
    other = [text[10:30], rng.integers(0, 1000, 50).tolist(), text[40:52]]
    known = KnownGrams(grams_of([np.array(text)])[0])
    known.meet(*joined(other[:1]))
    known.meet(*joined(other[1:]))
    inside = {run for _, run in plain(other)}
    assert known.met().tolist() == [run in inside for _, run in plain([text])]
    assert known.met().sum() == 20 - GRAM + 1
    nothing = KnownGrams(np.zeros(0, np.uint64))
    nothing.meet(*joined(other))
    assert nothing.met().tolist() == []
