"""Mixed corpora: whole documents in the shares asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faithful.store.corpus import SPLITS
from generation.configs.derive import MixConfig
from generation.derived.mix import interleave, mix
from tests.generation.derived.test_derive import ROWS, Maker, ids, read, tokens_of


@pytest.mark.parametrize("seed", range(30))
def test_interleaving_always_takes_from_the_corpus_that_lags(seed: int) -> None:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(2, 5))
    lengths = [draw.integers(1, 30, draw.integers(1, 60)).astype(np.int32) for _ in range(count)]
    shares = draw.integers(1, 5, count).astype(np.float64)
    shares /= shares.sum()
    taken, given, expected = [0] * count, [0] * count, []
    while True:
        turns = [tokens / share for tokens, share in zip(given, shares, strict=True)]
        if any(turns[i] == min(turns) and taken[i] == len(lengths[i]) for i in range(count)):
            break
        turn = turns.index(min(turns))
        expected.append((turn, taken[turn]))
        given[turn] += int(lengths[turn][taken[turn]])
        taken[turn] += 1
        bound = count * max(int(rows.max()) for rows in lengths)
        assert all(abs(given[i] - shares[i] * sum(given)) <= bound for i in range(count))
    chosen = interleave(lengths, shares)
    assert list(zip(chosen.inputs.tolist(), chosen.rows.tolist(), strict=True)) == expected
    assert chosen.lengths.tolist() == [lengths[corpus][row] for corpus, row in expected]


@pytest.mark.parametrize("weights", [None, (3, 1), (0.1, 0.7)])
def test_a_mix_holds_whole_documents_once_in_the_shares_asked_for(
    corpora: dict[str, Path], tmp_path: Path, weights: tuple[float, ...] | None
) -> None:
    folders = (corpora["own"], corpora["web"])
    result = mix(MixConfig(folders, weights, out=tmp_path / "mix", shard_rows=ROWS))
    shares = np.array(weights or (1, 1)) / sum(weights or (1, 1))
    for split in SPLITS:
        documents = read(result.folder, split)
        inputs = {folder.name: read(folder, split) for folder in folders}
        given = dict.fromkeys(inputs, 0)
        following = dict.fromkeys(inputs, 0)
        for number, document in enumerate(documents):
            name, part, place = str(document.doc_id).split("/")
            original = inputs[name][int(place)]
            assert (part, int(place)) == (split, following[name])
            assert document == replace(original, index=number, doc_id=document.doc_id, source=original.source or name)
            following[name] += 1
            given[name] += len(document.token_ids)
        assert any(following[name] == len(inputs[name]) for name in inputs)
        longest = max(len(row) for folder in folders for row in ids(folder, split))
        for share, name in zip(shares, inputs, strict=True):
            figures = result.manifest.provenance["counts"][split][name]
            assert abs(given[name] - share * sum(given.values())) <= 2 * longest
            assert figures == {
                "documents": following[name], "tokens": given[name], "share": given[name] / sum(given.values()),
            }  # fmt: skip
    assert f"{result.manifest.provenance['counts']['train']['own']['share']:.2%} own" in result.note
    few = mix(MixConfig(folders, weights, 100, tmp_path / "few", ROWS))
    assert ids(few.folder) == ids(result.folder)[: len(ids(few.folder))]
    assert tokens_of(read(few.folder)) >= 100 > tokens_of(read(few.folder)[:-1])
    assert ids(few.folder, "test") == ids(result.folder, "test")


def test_a_mix_without_held_out_documents_says_so(corpora: dict[str, Path], maker: Maker, tmp_path: Path) -> None:
    bare = maker.write(tmp_path / "bare", {"train": maker.documents(9, 30), "test": []})
    result = mix(MixConfig((corpora["own"], bare), out=tmp_path / "out"))
    assert result.manifest.rows("test") == 0
    assert "Nothing is held out, since bare holds nothing out" in result.note
    assert not mix(MixConfig((corpora["own"], bare), out=tmp_path / "out")).changed
