"""Shuffled documents."""

from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from faithful.store.corpus import SPLITS, Corpus, Document
from generation.configs.derive import ShuffleConfig
from generation.derived.shuffle import shuffle, shuffled
from generation.own.generate import DOMAINS
from generation.sampling.seeds import sample_seed, uniforms
from tests.generation.derived.test_derive import ROWS, Maker, ids, read


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_shuffle_keeps_every_document_s_tokens_and_its_end(
    corpora: dict[str, Path], maker: Maker, tmp_path: Path, seed: int
) -> None:
    out = shuffle(ShuffleConfig(corpora["own"], seed, tmp_path / "s", ROWS)).folder
    moved = 0
    for split in SPLITS:
        before, after = read(corpora["own"], split), read(out, split)
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert Counter(new.token_ids) == Counter(old.token_ids)
            if old.token_ids[-1] in maker.spec.eos_ids:
                assert new.token_ids[-1] == old.token_ids[-1]
            assert new == replace(
                old, token_ids=new.token_ids, logprob_p=None, logprob_q=None, doc_id=f"own/{split}/{old.index}",
                source="own",
            )  # fmt: skip
            moved += new.token_ids != old.token_ids
    assert moved > 50
    assert Corpus(out).manifest.provenance["counts"]["train"]["documents"] == 70


def test_shuffle_draws_a_new_order_for_every_document(maker: Maker, tmp_path: Path) -> None:
    copies = [Document(index, 0, list(range(20)), "length") for index in range(20)]
    folder = maker.write(tmp_path / "own", dict.fromkeys(SPLITS, copies))
    out = shuffle(ShuffleConfig(folder)).folder
    assert len({row for split in SPLITS for row in ids(out, split)}) == 40


def test_shuffle_draws_every_order_equally_often() -> None:
    document = Document(0, 0, [5, 6, 7, 1], "stop", [-1.0] * 4)
    orders = Counter(tuple(shuffled(document, [1], seed).token_ids[:3]) for seed in range(6000))
    assert set(orders) == set(permutations((5, 6, 7)))
    assert sum((count - 1000) ** 2 / 1000 for count in orders.values()) < 20.5  # χ² on 5 degrees, p = 0.001


def test_the_order_does_not_depend_on_the_uniforms_that_drew_the_tokens(maker: Maker, tmp_path: Path) -> None:
    """Under the same seed: sorted by them, a document whose tokens are in the order of their ids would have these sorted."""
    drawn = {}
    for split, domain in DOMAINS.items():
        by = uniforms(np.array([sample_seed(0, domain, index) for index in range(60)]), 40)
        rows = (10 + 40 * by).astype(int).tolist()
        drawn[split] = [Document(index, 0, row, "length") for index, row in enumerate(rows)]
    out = shuffle(ShuffleConfig(maker.write(tmp_path / "own", drawn))).folder
    for split in SPLITS:
        found = [np.corrcoef(np.arange(40), row)[0, 1] for row in ids(out, split)]
        assert abs(np.mean(found)) < 4 / np.sqrt(60 * 40)


def test_shuffle_of_a_grown_corpus_begins_as_that_of_the_small_one(maker: Maker, tmp_path: Path) -> None:
    documents = {split: maker.documents(5 + len(split), 40) for split in SPLITS}
    small = maker.write(tmp_path / "a" / "own", {split: rows[:25] for split, rows in documents.items()})
    large = maker.write(tmp_path / "b" / "own", documents)
    first, second = shuffle(ShuffleConfig(small)).folder, shuffle(ShuffleConfig(large)).folder
    for split in SPLITS:
        assert ids(second, split)[:25] == ids(first, split)
    assert ids(first) != ids(shuffle(ShuffleConfig(small, seed=1)).folder)
