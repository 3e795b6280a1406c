"""Corpora freed of duplicates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faithful.store.corpus import SPLITS, Document
from generation.configs.derive import DedupConfig
from generation.derived.dedup import dedup, follows_near_duplicate
from generation.writing.near_duplicates import signatures
from tests.generation.derived.test_derive import ROWS, Documents, Maker, ids, read


@pytest.mark.parametrize("seed", range(3))
def test_dedup_keeps_the_first_of_equals_and_no_test_document_of_train(maker: Maker, tmp_path: Path, seed: int) -> None:
    train, test = maker.documents(seed, 60, 6), maker.documents(seed + 50, 30, 6)
    test += [replace(train[7 * place], index=30 + place) for place in range(8)]
    folder = maker.write(tmp_path / "own", {"train": train, "test": test})
    result = dedup(DedupConfig(folder, shard_rows=ROWS))
    seen: set[tuple[int, ...]] = set()
    for split, documents in (("train", train), ("test", test)):
        expected = []
        for document in documents:
            if tuple(document.token_ids) not in seen:
                seen.add(tuple(document.token_ids))
                expected.append(document)
        kept = read(result.folder, split)
        assert kept == [
            replace(document, index=number, doc_id=f"own/{split}/{document.index}", source="own")
            for number, document in enumerate(expected)
        ]
        counts = result.manifest.provenance["counts"][split]
        distinct = {tuple(document.token_ids) for document in documents}
        assert counts["kept"] == len(expected)
        assert counts["duplicates"] == len(documents) - len(distinct)
        assert counts["in_train"] == len(distinct) - len(expected)
        assert counts["documents"] == len(documents)
    assert result.manifest.provenance["counts"]["test"]["in_train"] > 0
    assert f"dropped {result.manifest.provenance['counts']['train']['duplicates']} duplicates" in result.note


@pytest.mark.parametrize("seed", range(3))
def test_dedup_near_drops_what_follows_something_like_it(maker: Maker, tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    documents: Documents = {"train": [], "test": []}
    for split, count in (("train", 50), ("test", 30)):
        for index in range(count):
            row = draw.integers(0, 250, 60).tolist()
            known = documents["train"] + documents[split]
            if known and draw.random() < 0.6:
                row = list(known[draw.integers(len(known))].token_ids)
                for place in draw.integers(0, 60, draw.integers(0, 4)):
                    row[place] = int(draw.integers(250))
            documents[split].append(Document(index, 0, row, "length"))
    result = dedup(DedupConfig(maker.write(tmp_path / "own", documents), near=True, shard_rows=ROWS))
    exact = dedup(DedupConfig(tmp_path / "own", shard_rows=ROWS))
    rows = [row for split in SPLITS for row in ids(exact.folder, split)]
    minima = signatures(np.concatenate(rows), np.concatenate([[0], np.cumsum([len(row) for row in rows])]))
    close = (minima[:, None] == minima[None]).mean(axis=2) >= 0.8
    expected = [row for place, row in enumerate(rows) if not close[place, :place].any()]
    assert [row for split in SPLITS for row in ids(result.folder, split)] == expected
    counts = result.manifest.provenance["counts"]
    assert sum(counts[split]["near_duplicates"] for split in SPLITS) == len(rows) - len(expected) > 5
    assert result.folder.name == "own-dedup-near"


def test_a_near_duplicate_is_found_whatever_stands_between() -> None:
    draw = np.random.default_rng(0)
    minima = draw.integers(2**32, size=(3000, 128), dtype=np.uint32)
    minima[2999] = minima[17]
    minima[2999, :20] += np.uint32(1)
    assert np.flatnonzero(follows_near_duplicate(minima)).tolist() == [2999]
    minima[2999, :30] += np.uint32(1)
    assert not follows_near_duplicate(minima).any()
    minima[2999] = minima[17]
    minima[2999, 28::4] += np.uint32(1)  # 103 of 128 minima agree, in no band but the first seven …
    minima[18:60, :28] = minima[17, :28]  # … where others stand between that are not alike
    assert np.flatnonzero(follows_near_duplicate(minima)).tolist() == [2999]
