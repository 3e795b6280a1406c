"""Parts of a corpus: by rank, and to the lengths of another one."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faithful.store.corpus import SPLITS, Document
from generation.configs.derive import SubsampleConfig
from generation.derived.subsample import ranks, subsample
from tests.generation.derived.test_derive import Maker, ids, places, read, refused, tokens_of


@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_subsample_is_part_of_a_larger_one(corpora: dict[str, Path], tmp_path: Path, seed: int) -> None:
    web, before = read(corpora["web"]), {-1}
    for tokens in (1, 150, 151, 700, tokens_of(web)):
        result = subsample(SubsampleConfig(corpora["web"], tokens, seed=seed, out=tmp_path / f"{tokens}"))
        taken = places(result.folder)
        assert taken == sorted(set(taken))
        assert set(taken) >= before - {-1}
        assert read(result.folder) == [
            replace(web[place], index=number, doc_id=f"web/train/{place}", source=web[place].source or "web")
            for number, place in enumerate(taken)
        ]
        order = np.argsort(ranks(seed, "train", len(web)))
        assert set(taken) == set(order[: len(taken)].tolist())
        assert tokens_of(read(result.folder)) >= tokens
        assert sum(len(web[place].token_ids) for place in order[: len(taken) - 1]) < tokens
        assert read(result.folder, "test") == [
            replace(document, doc_id=f"web/test/{document.index}", source=document.source or "web")
            for document in read(corpora["web"], "test")
        ]
        before = set(taken)
    assert len(before) == len(web)


def test_subsamples_take_every_document_equally_often_and_cut_the_test_split(maker: Maker, tmp_path: Path) -> None:
    taken = np.mean([ranks(seed, "train", 500) < 0.3 for seed in range(400)], axis=0)
    assert abs(taken.mean() - 0.3) < 0.006
    assert np.abs(taken - 0.3).max() < 4.5 * (0.21 / 400) ** 0.5
    assert abs(np.corrcoef(ranks(1, "train", 5000), ranks(2, "train", 5000))[0, 1]) < 0.06
    document = Document(0, 0, [3] * 400, "length")
    rows = {"train": [document] * 3, "test": [document] * 70}
    folder = maker.write(tmp_path / "own", {s: [replace(d, index=i) for i, d in enumerate(r)] for s, r in rows.items()})
    result = subsample(SubsampleConfig(folder, 801))
    assert {split: result.manifest.rows(split) for split in SPLITS} == {"train": 3, "test": 50}


@pytest.mark.parametrize("seed", range(3))
def test_like_has_the_lengths_of_the_other_corpus(corpora: dict[str, Path], tmp_path: Path, seed: int) -> None:
    result = subsample(SubsampleConfig(corpora["web"], like=corpora["own"], seed=seed, out=tmp_path / "like"))
    cut = 0
    for split in SPLITS:
        shape = Counter(map(len, ids(corpora["own"], split)))
        documents, originals = read(result.folder, split), read(corpora["web"], split)
        lengths = Counter(len(document.token_ids) for document in documents)
        scale = len(documents) / sum(shape.values())
        assert all(abs(lengths[length] - scale * shape[length]) < 1 for length in {*lengths, *shape})
        assert len(set(places(result.folder, split))) == len(documents) > 15
        for document, place in zip(documents, places(result.folder, split), strict=True):
            original = originals[place]
            assert document.token_ids == original.token_ids[: len(document.token_ids)]
            shortened = len(document.token_ids) < len(original.token_ids)
            assert document.finish_reason == ("length" if shortened else original.finish_reason)
            cut += shortened
        away = sum(abs(lengths[n] / len(documents) - shape[n] * scale / len(documents)) for n in {*lengths, *shape}) / 2
        counts = result.manifest.provenance["counts"]
        assert counts[split]["total_variation"] == pytest.approx(away, abs=1e-12)
        assert counts[split]["kept"] == len(documents)
    assert cut == sum(counts[split]["cut"] for split in SPLITS) > 0
    assert f"total variation of {counts['train']['total_variation']:.4f}" in result.note


def test_like_cuts_log_probabilities_and_stops_at_the_tokens_asked_for(
    corpora: dict[str, Path], maker: Maker, tmp_path: Path
) -> None:
    short = [Document(index, 0, [4] * (1 + index % 5), "length") for index in range(50)]
    shape = maker.write(tmp_path / "short", {"train": short, "test": short[:20]})
    result = subsample(SubsampleConfig(corpora["own"], tokens=90, like=shape, out=tmp_path / "out"))
    assert Counter(map(len, ids(result.folder))) == dict.fromkeys(range(1, 6), 6)
    originals = read(corpora["own"])
    for document, place in zip(read(result.folder), places(result.folder), strict=True):
        size, original = len(document.token_ids), originals[place]
        assert document.logprob_p == (original.logprob_p or [])[:size]
        assert document.logprob_q == (None if original.logprob_q is None else original.logprob_q[:size])
    assert result.manifest.identity["derivation"]["like"]["name"] == "short"
    assert result.manifest.provenance["counts"]["train"]["total_variation"] == 0
    sentence = refused(lambda: subsample(SubsampleConfig(corpora["own"], tokens=500, like=shape)))
    assert "fewer --tokens" in sentence


def test_lengths_that_are_lacking_count_as_the_longest_and_are_named(
    corpora: dict[str, Path], maker: Maker, tmp_path: Path
) -> None:
    long = [Document(index, 0, [4] * (15 if index % 2 else 60), "length") for index in range(20)]
    shape = maker.write(tmp_path / "long", {"train": long, "test": []})
    result = subsample(SubsampleConfig(corpora["own"], like=shape, out=tmp_path / "out"))
    longest = max(map(len, ids(corpora["own"])))
    assert set(map(len, ids(result.folder))) == {15, longest}
    counts = result.manifest.provenance["counts"]
    assert counts["train"]["total_variation"] == pytest.approx(0.5, abs=0.1)
    assert counts["train"]["limited_by_length"] == longest
    assert "studies will name it" in result.note
    assert counts["test"] == {
        "documents": 34, "kept": 0, "cut": 0, "total_variation": None, "limited_by_length": None,
    }  # fmt: skip
