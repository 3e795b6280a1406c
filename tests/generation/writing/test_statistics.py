"""Corpus statistics against naive reference implementations on small random corpora."""

import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zstandard
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.cli import app
from faithful.store.corpus import Corpus, Document, Manifest, read_manifest, to_table, write_manifest
from faithful.store.shard_files import write_shard
from generation.cards import describe as describing
from generation.writing import statistics
from generation.writing.statistics import budget_statistics, corpus_statistics, merge, shard_statistics
from tests.generation.writing.rows import (
    EOS,
    MAPPED,
    TOKENIZER,
    VOCAB,
    jaccard,
    random_rows,
)


def document(index: int, ids: list[int], logprobs: bool = True) -> Document:
    """A document that stops where its last id is the end-of-text."""
    values = np.random.default_rng(index).normal(-3, 1, len(ids)).astype(np.float32).tolist() if logprobs else None
    return Document(index, index, ids, "stop" if ids and ids[-1] == EOS else "length", values)


def decode(documents: list[Document]) -> list[str]:
    bodies = [d.token_ids[:-1] if d.token_ids[-1:] == [EOS] else d.token_ids for d in documents]
    return [TOKENIZER.decode(body) for body in bodies]


def describe(documents: list[Document]) -> dict:
    return shard_statistics(documents, decode(documents), TOKENIZER, [EOS], MAPPED)


def write_corpus(folder: Path, rows: list[list[int]], per_shard: int = 30, logprobs: bool = True) -> Corpus:
    documents = [document(index, ids, logprobs) for index, ids in enumerate(rows)]
    manifest = Manifest("c", "own", {"model": {"vocab_size": VOCAB}}, {}, {"train": 0, "test": 0})
    for number, start in enumerate(range(0, len(documents), per_shard)):
        part = documents[start : start + per_shard]
        table = to_table(part, decode(part), VOCAB)
        manifest.shards["train"].append(write_shard(folder, "train", number, table, describe(part)))
    write_manifest(folder, manifest)
    return Corpus(folder)


def naive_prefix(rows: list[list[int]], budget: int) -> list[list[int]]:
    """The first `budget` tokens, the last document cut."""
    prefix = []
    for row in rows:
        prefix.append(row[:budget])
        budget -= len(prefix[-1])
    return prefix


def naive_distinct(rows: list[list[int]], size: int) -> float:
    grams = [tuple(row[i : i + size]) for row in rows for i in range(len(row) - size + 1)]
    return len(set(grams)) / len(grams)


def is_loop(ids: list[int]) -> bool:
    tail = ids[-64:]
    return len(tail) == 64 and any(tail == (tail[:period] * 64)[:64] for period in range(1, 17))


def test_shard_sums_equal_a_naive_count():
    documents = [document(i, ids) for i, ids in enumerate(random_rows(np.random.default_rng(1), 80))]
    sums = describe(documents)
    rows = [d.token_ids for d in documents]
    assert sums["rows"] == 80
    assert sums["tokens"] == sum(map(len, rows))
    assert sums["ended"] == sum(row[-1] == EOS for row in rows) > 10
    assert sums["empty"] == sum(row == [EOS] for row in rows) > 2
    assert sums["unmapped"] == sum(token >= MAPPED for row in rows for token in row) > 10
    assert sums["looping"] == sum(map(is_loop, rows))
    assert sums["logprob_p_sum"] == pytest.approx(sum(x for d in documents for x in d.logprob_p), rel=1e-12)
    assert sums["lengths"] == {str(n): count for n, count in Counter(map(len, rows)).items()}
    assert json.loads(json.dumps(sums)) == sums


def test_loops_are_the_last_64_tokens_with_a_period_of_at_most_16():
    noise = list(range(1, 41))
    cases = {
        "period 1": ([*noise, *[7] * 64], True),
        "period 16": (noise + list(range(1, 17)) * 4, True),
        "period 17": (noise + (list(range(1, 18)) * 4)[:64], False),
        "64 tokens": ([7] * 64, True),
        "63 tokens": ([7] * 63, False),
        "63 tokens after noise": ([*noise, *[7] * 63], False),
        "broken at the end": ([7] * 80 + [8], False),
        "not a whole number of periods": (noise + ([1, 2, 3] * 22)[:64], True),
    }
    for name, (ids, expected) in cases.items():
        assert describe([document(0, ids)])["looping"] == expected, name


def test_round_trip_leaves_out_the_closing_end_of_text_and_sees_another_tokenisation():
    canonical = TOKENIZER.encode("the cat sat on the hat")
    letters = [TOKENIZER.convert_tokens_to_ids(letter) for letter in "the"]
    assert TOKENIZER.decode(letters) == "the"
    assert TOKENIZER.encode("the") != letters
    for ids, expected in [
        (canonical, 1),
        ([*canonical, EOS], 1),
        ([EOS], 1),
        ([*canonical, EOS, *canonical], 1),
        (letters, 0),
        ([*canonical, MAPPED + 3], 0),
    ]:
        assert describe([document(0, ids)])["round_trip"] == expected, ids


def test_merge_is_associative_and_equals_the_sums_of_all_rows():
    rows = random_rows(np.random.default_rng(2), 60)
    documents = [document(i, ids) for i, ids in enumerate(rows)]
    a, b, c = (describe(documents[i : i + 20]) for i in (0, 20, 40))
    left, right, whole = merge([merge([a, b]), c]), merge([a, merge([b, c])]), describe(documents)
    assert left.pop("logprob_p_sum") == pytest.approx(right.pop("logprob_p_sum"), rel=1e-14)
    assert left == right
    assert merge([a, merge([])]) == a
    assert set(left) == set(whole) - {"logprob_p_sum"}
    for name in left:
        assert left[name] == whole[name], name


def test_log_probabilities_are_none_as_soon_as_one_document_has_none():
    known, unknown = document(0, [1, 2]), document(1, [3, 4], logprobs=False)
    assert describe([known])["logprob_p_sum"] is not None
    assert describe([known, unknown])["logprob_p_sum"] is None
    assert merge([describe([known]), describe([unknown])])["logprob_p_sum"] is None


def test_corpus_statistics_equal_naive_ones(tmp_path):
    rows = random_rows(np.random.default_rng(3), 100)
    corpus = write_corpus(tmp_path, rows)
    seen = []
    values = corpus_statistics(corpus, report=seen.append, vocab_size=VOCAB)
    lengths, tokens = [len(row) for row in rows], sum(map(len, rows))
    assert len(corpus.manifest.shards["train"]) == 4
    assert (values["documents"], values["tokens"]) == (100, tokens)
    assert values["eos_rate"] == np.mean([row[-1] == EOS for row in rows])
    assert values["length_mean"] == pytest.approx(np.mean(lengths))
    assert values["length_median"] == np.median(lengths)
    assert values["length_p95"] == pytest.approx(np.quantile(lengths, 0.95), rel=1e-12)
    assert values["unmapped_rate"] == sum(t >= MAPPED for row in rows for t in row) / tokens
    assert values["duplicate_rate"] == pytest.approx(1 - len(set(map(tuple, rows))) / 100)
    near = [any(i != j and jaccard(a, b) >= 0.8 for j, b in enumerate(rows)) for i, a in enumerate(rows)]
    assert values["near_duplicate_rate"] == np.mean(near) > 0
    logprobs = [x for i, row in enumerate(rows) for x in document(i, row).logprob_p]
    assert values["ce"] == pytest.approx(-np.mean(logprobs), rel=1e-12)
    assert values["perplexity"] == pytest.approx(math.exp(-np.mean(logprobs)))
    assert 0 < values["compression_ratio"] < 1
    assert values["computed_on"] == {"near_duplicate_rate": tokens, "curves": tokens}
    assert (seen[-1].done, seen[-1].total, len(seen)) == (tokens, tokens, 4)
    assert json.loads(json.dumps(values)) == values


def test_rates_come_from_the_shards(tmp_path):
    canonical = TOKENIZER.encode("the cat sat on the mat")
    corpus = write_corpus(tmp_path, [canonical, [5] * 70, [*canonical, EOS], [MAPPED]], per_shard=1)
    values = corpus_statistics(corpus, vocab_size=VOCAB)
    again = [TOKENIZER.encode(TOKENIZER.decode(ids)) == ids for ids in (canonical, [5] * 70)]
    assert values["repetition_rate"] == 0.25
    assert values["round_trip_rate"] == (2 * again[0] + again[1]) / 4


def one_frame(texts: list[str]) -> float:
    """What docs/metrics.md says of compression, of texts joined by newlines."""
    raw = "\n".join(texts).encode()
    stream = zstandard.ZstdCompressor(level=3).compressobj()
    return len(stream.compress(raw) + stream.flush()) / len(raw)


def test_compression_is_one_figure_however_the_corpus_is_cut_into_shards(tmp_path):
    rows = random_rows(np.random.default_rng(13), 90)
    expected = one_frame(decode([document(0, ids) for ids in rows]))
    for per_shard in (1, 7, 90):
        corpus = write_corpus(tmp_path / str(per_shard), rows, per_shard)
        assert corpus_statistics(corpus, vocab_size=VOCAB)["compression_ratio"] == expected
        assert at_budget(corpus, corpus.tokens())["compression_ratio"] == expected
    nothing = write_corpus(tmp_path / "nothing", [[EOS], [EOS]])
    assert corpus_statistics(nothing, vocab_size=VOCAB)["compression_ratio"] is None


def test_compression_does_not_depend_on_the_batches_that_texts_come_in():
    generator = np.random.default_rng(14)
    texts = [" ".join(map(str, generator.integers(0, 3000, 400))) for _ in range(1200)]
    found = set()
    for size in (1, 37, 1200):
        packed = statistics._Compression()
        for start in range(0, len(texts), size):
            packed.add(texts[start : start + size])
        found.add(packed.ratio())
    assert found == {one_frame(texts)}


def at_budget(corpus: Corpus, budget: int, **options: int) -> dict:
    spec = SimpleNamespace(eos_ids=(EOS,), mapped=MAPPED, holes=(), vocab_size=VOCAB)
    return budget_statistics(corpus, TOKENIZER, spec, budget, **options)


@pytest.mark.parametrize("per_shard", [1, 10, 23, 100])
def test_figures_at_a_budget_are_those_of_the_shortest_prefix(tmp_path, per_shard):
    """Wherever the prefix ends inside a shard; each equals the figure of a corpus that holds no more than the prefix."""
    rows = random_rows(np.random.default_rng(15), 100)
    corpus = write_corpus(tmp_path / "corpus", rows, per_shard)
    ends = np.cumsum([len(row) for row in rows])
    for budget in (1, 700, int(ends[9]), int(ends[9]) + 1, int(ends[22]) - 1, int(ends[-1])):
        count = int(np.searchsorted(ends, budget)) + 1
        prefix = write_corpus(tmp_path / f"{budget}", rows[:count], per_shard=1000)
        values, expected = at_budget(corpus, budget), corpus_statistics(prefix, vocab_size=VOCAB)
        assert values.pop("lengths") == prefix.manifest.shards["train"][0].statistics["lengths"]
        curves = values.pop("curves")
        assert curves["budgets"][-1] == values["computed_on"]["curves"] == budget
        for size in range(1, 5):
            cut = naive_prefix(rows, budget)
            if any(len(row) >= size for row in cut):
                assert curves[f"distinct_{size}"][-1] == naive_distinct(cut, size)
        assert values["computed_on"].pop("curves") <= expected["computed_on"].pop("curves")
        for name, value in values.items():
            assert value == (
                pytest.approx(expected[name], rel=1e-12) if name in ("ce", "perplexity") else expected[name]
            )


def test_whole_shards_are_merged_and_only_the_last_is_described_anew(tmp_path, monkeypatch):
    rows = random_rows(np.random.default_rng(16), 100)
    corpus = write_corpus(tmp_path, rows, per_shard=10)
    described, describe_shard = [], statistics.shard_statistics

    def watching(documents, *others):
        described.append([d.index for d in documents])
        return describe_shard(documents, *others)

    monkeypatch.setattr(statistics, "shard_statistics", watching)
    ends = np.cumsum([len(row) for row in rows])
    at_budget(corpus, int(ends[73]))
    at_budget(corpus, int(ends[79]))
    assert described == [[70, 71, 72, 73]]
    (tmp_path / "data" / "part-00008.parquet").unlink()
    at_budget(corpus, int(ends[79]))
    with pytest.raises(FaithfulError, match="missing or damaged"):
        at_budget(corpus, int(ends[80]))


def test_near_duplicates_of_a_large_budget_look_at_no_more_than_their_limit(tmp_path):
    rows = np.random.default_rng(17).integers(1, VOCAB, (60, 70)).tolist()
    rows[-1] = rows[0]
    corpus = write_corpus(tmp_path, rows, per_shard=7)
    values = at_budget(corpus, 60 * 70, near_limit=2000)
    assert values["computed_on"] == {"near_duplicate_rate": 29 * 70, "curves": 60 * 70}
    assert values["near_duplicate_rate"] == 0
    assert values["duplicate_rate"] == pytest.approx(1 / 60)
    assert at_budget(corpus, 60 * 70)["near_duplicate_rate"] == pytest.approx(2 / 60)


def test_external_text_has_no_cross_entropy(tmp_path):
    values = corpus_statistics(write_corpus(tmp_path, [[1, 2, EOS]], logprobs=False), vocab_size=VOCAB)
    assert values["ce"] is None
    assert values["perplexity"] is None


def test_curves_equal_naive_ones_at_every_budget(tmp_path):
    rows = random_rows(np.random.default_rng(4), 100)
    curves = corpus_statistics(write_corpus(tmp_path, rows), vocab_size=VOCAB)["curves"]
    assert curves["budgets"] == [1000, 2000, 5000]
    for place, budget in enumerate(curves["budgets"]):
        prefix = naive_prefix(rows, budget)
        ids = {token for row in prefix for token in row}
        assert curves["vocab_coverage"][place] == len(ids) / VOCAB
        assert curves["type_token"][place] == len(ids) / budget
        for size in range(1, 5):
            assert curves[f"distinct_{size}"][place] == naive_distinct(prefix, size), (budget, size)


def test_the_budget_limits_near_duplicates_and_curves_and_says_so(tmp_path):
    rng = np.random.default_rng(5)
    rows = rng.integers(1, VOCAB, (60, 70)).tolist()
    rows[-1] = rows[0]
    corpus = write_corpus(tmp_path, rows, per_shard=7)
    values = corpus_statistics(corpus, budget_limit=2000, vocab_size=VOCAB)
    assert values["computed_on"] == {"near_duplicate_rate": 29 * 70, "curves": 2000}
    assert values["curves"]["budgets"] == [1000, 2000]
    assert values["curves"]["distinct_2"][1] == naive_distinct(naive_prefix(rows, 2000), 2)
    assert values["near_duplicate_rate"] == 0
    assert values["duplicate_rate"] == pytest.approx(1 / 60)
    assert corpus_statistics(corpus, vocab_size=VOCAB)["near_duplicate_rate"] == pytest.approx(2 / 60)


def test_ids_outside_the_vocabulary_and_empty_splits_are_refused(tmp_path):
    corpus = write_corpus(tmp_path, [[1, 2, 30]])
    with pytest.raises(FaithfulError, match="id 30, but the vocabulary ends at 29"):
        corpus_statistics(corpus, vocab_size=30)
    with pytest.raises(FaithfulError, match="no test tokens"):
        corpus_statistics(corpus, "test", vocab_size=VOCAB)


def test_statistics_are_deterministic(tmp_path):
    rows = random_rows(np.random.default_rng(12), 60)
    one, two = write_corpus(tmp_path / "one", rows), write_corpus(tmp_path / "two", rows)
    assert one.manifest.shards == two.manifest.shards
    values = [json.dumps(corpus_statistics(corpus, vocab_size=VOCAB)) for corpus in (one, two)]
    assert len(set(values)) == 1
    other = write_corpus(tmp_path / "other", [row[::-1] for row in rows])
    assert json.dumps(corpus_statistics(other, vocab_size=VOCAB)) != values[0]


def test_figures_are_stored_once_they_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path, random_rows(np.random.default_rng(0), 40))
    computed = describing.statistics_of(tmp_path)
    assert computed["stored"]
    monkeypatch.setattr(describing, "corpus_statistics", None)
    assert describing.statistics_of(tmp_path) == computed


def test_figures_of_an_older_corpus_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process commits shards while they are computed."""
    rows = random_rows(np.random.default_rng(0), 40)
    write_corpus(tmp_path, rows[:30])

    def grow_meanwhile(corpus: Corpus, **settings: int) -> dict:
        figures = corpus_statistics(corpus, **settings)
        write_corpus(tmp_path, rows)
        return figures

    monkeypatch.setattr(describing, "corpus_statistics", grow_meanwhile)
    older = describing.statistics_of(tmp_path)
    assert not older["stored"]
    assert read_manifest(tmp_path).statistics is None
    monkeypatch.undo()
    assert describing.statistics_of(tmp_path)["documents"] == 40 > older["documents"]


def test_figures_of_a_corpus_that_is_being_written_are_shown_and_not_stored(tmp_path: Path) -> None:
    write_corpus(tmp_path, random_rows(np.random.default_rng(0), 40))
    with folder_lock(tmp_path):
        done = CliRunner().invoke(app, ["corpus", "stats", str(tmp_path), "--json"])
        shown = CliRunner().invoke(app, ["corpus", "stats", str(tmp_path)])
    assert (done.exit_code, json.loads(done.stdout)["stored"]) == (0, False)
    assert (shown.exit_code, "not stored" in shown.stderr) == (0, True)
    assert read_manifest(tmp_path).statistics is None
    again = CliRunner().invoke(app, ["corpus", "stats", str(tmp_path)])
    assert "not stored" not in again.stderr
    assert read_manifest(tmp_path).statistics is not None
