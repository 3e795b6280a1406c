"""Rows for training, against the plainest code that does the same."""

import numpy as np
import pytest

from faithful.store.contexts import aligned, packed, packed_starts

BOS, EOS = 1, 2


def naive_aligned(documents: list[list[int]], context: int, bos: int) -> list[list[int]]:
    return [[bos, *document][:context] for document in documents]


def naive_packed(documents: list[list[int]], context: int, bos: int, eos: list[int]) -> list[list[int]]:
    """Join everything first, cut afterwards."""
    stream: list[int] = []
    for document in documents:
        stream += document
        if eos and (not document or document[-1] not in eos):
            stream.append(min(eos))
    rows = []
    while True:
        while bos in eos and stream and stream[0] == bos:
            stream = stream[1:]
        if len(stream) < context - 1:
            return rows
        rows.append([bos, *stream[: context - 1]])
        stream = stream[context - 1 :]


def some_documents(seed: int, count: int, stops: list[int]) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    documents = []
    for _ in range(count):
        body = draw.integers(3, 50, draw.integers(0, 20)).tolist()
        if stops and draw.random() < 0.7:
            body.append(int(draw.choice(stops)))
        documents.append(body)
    return documents


def arrays(documents: list[list[int]]) -> list[np.ndarray]:
    return [np.array(document, dtype=np.int64) for document in documents]


def lists(rows: object) -> list[list[int]]:
    return [row.tolist() for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize("context", [2, 3, 8, 17, 64])
@pytest.mark.parametrize("seed", range(4))
def test_aligned_equals_the_plain_code(seed: int, context: int) -> None:
    documents = some_documents(seed, 40, [EOS])
    assert lists(aligned(arrays(documents), context, BOS)) == naive_aligned(documents, context, BOS)


@pytest.mark.parametrize("context", [2, 3, 8, 17, 64])
@pytest.mark.parametrize(
    "stops",
    [[EOS], [EOS, 55, 60], [], [BOS], [BOS, 60], [0, BOS]],
    ids=["one", "three", "none", "bos is eos", "bos joins, one more ends", "bos ends, another joins"],
)
@pytest.mark.parametrize("seed", range(3))
def test_packed_equals_the_plain_code(seed: int, stops: list[int], context: int) -> None:
    documents = some_documents(seed, 40, stops)
    rows = lists(packed(arrays(documents), context, BOS, stops))
    assert rows == naive_packed(documents, context, BOS, stops)
    if BOS in stops:
        assert all(row[1] != BOS for row in rows)


@pytest.mark.parametrize("seed", range(30))
def test_where_windows_begin_equals_walking_along_the_stream(seed: int) -> None:
    draw = np.random.default_rng(seed)
    tokens, width = int(draw.integers(0, 400)), int(draw.integers(1, 12))
    skipped = np.flatnonzero(draw.random(tokens) < draw.choice([0.0, 0.05, 0.4, 0.9, 1.0]))
    expected, at = [], 0
    while True:
        while at in skipped:
            at += 1
        if at + width > tokens:
            break
        expected.append(at)
        at += width
    assert packed_starts(tokens, width, skipped).tolist() == expected


def test_every_packed_row_is_full_and_begins_with_bos() -> None:
    for row in packed(arrays(some_documents(7, 100, [EOS])), 16, BOS, [EOS]):
        assert row.dtype == np.int64
        assert len(row) == 16
        assert row[0] == BOS


def test_a_stored_end_of_text_is_not_doubled_and_a_missing_one_is_put_in() -> None:
    documents = arrays([[5, 6, EOS], [7, 8], [EOS], [], [9, 9, 9, 9]])
    rows = lists(packed(documents, 12, BOS, [EOS]))
    assert rows == [[BOS, 5, 6, EOS, 7, 8, EOS, EOS, EOS, 9, 9, 9]]
    # between [5, 6] and [7, 8] one separator; [EOS] and [] are two empty documents, one separator each


def test_where_bos_is_the_end_of_text_a_document_is_closed_once() -> None:
    documents = arrays([[5, BOS], [6, 7], [8, BOS], [9, 9, 9]])
    assert lists(packed(documents, 9, BOS, [BOS])) == [[BOS, 5, BOS, 6, 7, BOS, 8, BOS, 9]]


def test_where_bos_is_the_end_of_text_no_row_begins_with_it_twice() -> None:
    documents = arrays([[5, 6, BOS], [7, 8], [BOS], [], [9, 9, BOS]])
    assert lists(packed(documents, 3, BOS, [BOS])) == [[BOS, 5, 6], [BOS, 7, 8], [BOS, 9, 9]]
    assert lists(packed(documents, 4, BOS, [BOS])) == [[BOS, 5, 6, BOS], [BOS, 7, 8, BOS], [BOS, 9, 9, BOS]]
    assert lists(packed(documents, 3, BOS, [EOS]))[:3] == [[BOS, 5, 6], [BOS, BOS, EOS], [BOS, 7, 8]], "an ordinary id"


def test_any_of_several_end_of_text_ids_closes_a_document_and_the_smallest_joins() -> None:
    documents = arrays([[5, 60], [6], [7, 55], [8, 8]])
    assert lists(packed(documents, 9, BOS, [60, 55, 2])) == [[BOS, 5, 60, 6, 2, 7, 55, 8, 8]]


def test_nothing_comes_of_nothing() -> None:
    assert lists(packed([], 8, BOS, [EOS])) == []
    assert lists(packed(arrays([[5, 6]]), 8, BOS, [EOS])) == []
    assert lists(aligned([], 8, BOS)) == []
    assert lists(aligned(arrays([[]]), 8, BOS)) == [[BOS]]
