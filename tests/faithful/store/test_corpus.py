"""A corpus on disk: what is written is what is read, by us and by everybody else's readers."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.records import write_record
from faithful.store.corpus import (
    ROW_GROUP,
    Corpus,
    Document,
    Manifest,
    flat_tokens,
    from_table,
    intact_shards,
    read_manifest,
    schema,
    to_table,
    write_manifest,
)
from faithful.store.shard_files import write_shard

BOS, EOS = 0, 1


def some_documents(count: int, vocab_size: int = 300, seed: int = 0, q: bool = False) -> list[Document]:
    """Own documents of 1 to 20 tokens, the highest id among them; some end with end-of-text."""
    draw = np.random.default_rng(seed)
    documents = []
    for index in range(count):
        ids = draw.integers(2, vocab_size, draw.integers(0, 20)).tolist()
        stopped = not ids or draw.random() < 0.7
        ids = [*ids, EOS] if stopped else ids
        log_p = (-draw.exponential(3, len(ids))).astype(np.float32).tolist()
        documents.append(
            Document(
                index=index,
                seed=int(draw.integers(0, 2**63 - 1)),
                token_ids=ids,
                finish_reason="stop" if stopped else "length",
                logprob_p=log_p,
                logprob_q=[x / 2 for x in log_p] if q else None,
            )
        )
    if not documents:
        return []
    return [replace(documents[0], token_ids=[vocab_size - 1], logprob_p=[-1.0], logprob_q=None), *documents[1:]]


def build_corpus(
    folder: Path, counts: dict[str, int], vocab_size: int = 300, shard_rows: int = 40, seed: int = 0
) -> dict[str, list[Document]]:
    """Write a corpus of random ids, BOS 0 and end-of-text 1; the documents per split."""
    identity = {"model": {"name": "made-up", "bos_id": BOS, "eos_ids": [EOS], "vocab_size": vocab_size}, "seed": 0}
    manifest = Manifest(folder.name, "own", identity, {}, requested={"train": 1, "test": 1})
    documents = {split: some_documents(count, vocab_size, seed + len(split)) for split, count in counts.items()}
    for split, rows in documents.items():
        for number, first in enumerate(range(0, len(rows), shard_rows)):
            part = rows[first : first + shard_rows]
            table = to_table(part, [f"text {d.index} ✓" for d in part], vocab_size)
            manifest.shards[split].append(write_shard(folder, split, number, table, {"rows": len(part)}))
    write_manifest(folder, manifest)
    return documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus of 100 and 10 documents in shards of 40."""
    build_corpus(tmp_path / "own", {"train": 100, "test": 10})
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("vocab_size", "token"),
    [(300, pa.uint16()), (2**16, pa.uint16()), (2**16 + 1, pa.uint32()), (256_000, pa.uint32())],
)
def test_a_shard_comes_back_as_it_was(tmp_path: Path, vocab_size: int, token: pa.DataType) -> None:
    external = Document(50, 0, [3, 4], "stop", doc_id="https://x/1", source="web")
    empty = Document(51, 0, [], "length", doc_id="", source="web")
    documents = [*some_documents(50, vocab_size, q=True), external, empty]
    texts = [f"{d.index} ä\n\x00" for d in documents]
    shard = write_shard(tmp_path, "train", 3, to_table(documents, texts, vocab_size), {"a": 1})
    table = pq.read_table(tmp_path / "data" / "part-00003.parquet")
    assert table.schema.field("token_ids").type.value_type == token
    assert table.schema.equals(schema(vocab_size))
    assert from_table(table) == documents
    assert table["text"].to_pylist() == texts
    assert table["n_tokens"].to_pylist() == [len(d.token_ids) for d in documents]
    assert (shard.file, shard.first, shard.rows) == ("data/part-00003.parquet", 0, 52)
    assert shard.tokens == sum(len(d.token_ids) for d in documents)
    assert intact_shards(tmp_path, [shard]) == [True]


def test_ids_beyond_the_type_are_never_wrapped() -> None:
    for outside in (300, 70_000, 2**32, -1):
        with pytest.raises(FaithfulError, match=f"token id {outside}, and the vocabulary of its model ends at 299"):
            to_table([Document(0, 0, [3, outside], "stop")], [""], 300)


def test_equal_rows_are_equal_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        shard = write_shard(tmp_path / name, "test", 0, to_table(some_documents(60), ["t"] * 60, 300), {})
        files.append((shard.sha256, (tmp_path / name / "test" / "part-00000.parquet").read_bytes()))
    assert files[0] == files[1]
    other = write_shard(tmp_path / "c", "test", 0, to_table(some_documents(60, seed=1), ["t"] * 60, 300), {})
    assert other.sha256 != files[0][0]


@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_damage_is_found_and_named(folder: Path, damage: str) -> None:
    victim = folder / "data" / "part-00001.parquet"
    content = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(content[:-9])
    elif damage == "edited":
        victim.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    else:
        victim.unlink()
    assert intact_shards(folder, read_manifest(folder).shards["train"]) == [True, False, True]
    with pytest.raises(FaithfulError, match=r"part-00001\.parquet") as caught:
        list(Corpus(folder).documents())
    assert "\n" not in str(caught.value)


def test_a_manifest_comes_back_as_it_was(folder: Path) -> None:
    manifest = read_manifest(folder)
    manifest.certificate = {"verdict": "consistent", "p_holm": 0.25}
    manifest.statistics = {"tokens": 7, "name": "ä"}
    manifest.segments = [{"train": 0, "test": 0, "engine": {"name": "x"}}]
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    values = json.loads((folder / "corpus.json").read_text())
    assert values["format"] == "faithful corpus 1"
    assert values["identity_sha256"] == digest(manifest.identity)
    assert (manifest.rows(), manifest.rows("test")) == (100, 10)


def edit(folder: Path, change: Any) -> None:
    values = json.loads((folder / "corpus.json").read_text())
    change(values)
    write_record(folder / "corpus.json", values)


def test_a_manifest_that_was_edited_by_hand_is_refused(folder: Path) -> None:
    path = folder / "corpus.json"
    content = path.read_text()
    assert "record_sha256" in json.loads(content)
    tokens = read_manifest(folder).shards["train"][0].tokens
    path.write_text(content.replace(f'"tokens": {tokens}', f'"tokens": {tokens + 1}'))
    with pytest.raises(FaithfulError, match=r"corpus\.json was edited or damaged") as caught:
        Corpus(folder)
    assert "\n" not in str(caught.value)


def test_a_manifest_from_before_seals_is_read(folder: Path) -> None:
    path = folder / "corpus.json"
    before, values = read_manifest(folder), json.loads(path.read_text())
    del values["record_sha256"]
    path.write_text(json.dumps(values))
    assert read_manifest(folder) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("rows", 39), ("tokens", 1), ("bytes", 7), ("sha256", "0" * 64), ("file", "data/part-00002.parquet")],
)
def test_a_manifest_that_says_other_things_than_its_shards_is_never_read(folder: Path, name: str, value: Any) -> None:
    """What the file itself can tell is compared with it, even where the manifest was written anew around the lie."""
    edit(folder, lambda values: values["shards"]["train"][1].update({name: value}))
    with pytest.raises(FaithfulError, match="damaged") as caught:
        list(Corpus(folder).documents())
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_shard_is_noticed_and_a_restored_one_read_again(folder: Path) -> None:
    victim = folder / "data" / "part-00000.parquet"
    content = victim.read_bytes()
    expected = [ids.tolist() for ids in Corpus(folder).documents()]
    for place in range(0, len(content), max(1, len(content) // 40)):
        victim.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        with pytest.raises(FaithfulError, match=r"part-00000\.parquet: it is missing or damaged"):
            list(Corpus(folder).documents())
    victim.write_bytes(content)
    assert [ids.tolist() for ids in Corpus(folder).documents()] == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values["identity"].update(seed=9), "edited"),
        (lambda values: values.update(format="faithful corpus 9"), "format 'faithful corpus 9'"),
        (lambda values: values.pop("segments"), "damaged"),
        (lambda values: values["shards"].pop("test"), "damaged"),
        (lambda values: values["shards"]["train"][0].pop("sha256"), "damaged"),
        (lambda values: values["shards"]["train"][0].update(extra=1), "damaged"),
        (lambda values: values.pop("identity_sha256"), "damaged"),
    ],
)
def test_an_edited_manifest_is_refused_in_one_sentence(folder: Path, change: Any, said: str) -> None:
    edit(folder, change)
    with pytest.raises(FaithfulError, match=said) as caught:
        Corpus(folder)
    assert "\n" not in str(caught.value)
    assert "corpus.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"format": "faithful corpus 1"}'])
def test_a_damaged_manifest_is_refused_in_one_sentence(folder: Path, content: bytes) -> None:
    (folder / "corpus.json").write_bytes(content)
    with pytest.raises(FaithfulError, match="damaged") as caught:
        read_manifest(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_manifest_is_no_corpus(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FaithfulError, match="faithful generate"):
            Corpus(missing)


def test_documents_come_in_index_order_across_shards(folder: Path, tmp_path: Path) -> None:
    made = build_corpus(tmp_path / "again", {"train": 100, "test": 10})
    for split in ("train", "test"):
        assert [d.tolist() for d in Corpus(folder).documents(split)] == [d.token_ids for d in made[split]]
    assert Corpus(folder).tokens() == sum(len(d.token_ids) for d in made["train"])
    assert Corpus(folder).name == "own"


def test_flat_tokens_of_a_slice_start_at_zero() -> None:
    batch = to_table(some_documents(30), [""] * 30, 300).to_batches()[0].slice(10, 5)
    tokens, offsets = flat_tokens(batch)
    assert offsets[0] == 0
    parts = [tokens[a:b].tolist() for a, b in pairwise(offsets)]
    assert parts == [d.token_ids for d in some_documents(30)[10:15]]


def test_batches_hold_one_row_group_at_most(tmp_path: Path) -> None:
    """Reading a corpus 32.5 row groups long: no batch is larger than one, and memory does not grow with the file."""
    count = 32 * ROW_GROUP + ROW_GROUP // 2
    build_corpus(tmp_path / "own", {"train": 0, "test": 1})
    group = to_table([Document(0, 0, [5], "length")] * ROW_GROUP, [""] * ROW_GROUP, 300)
    table = pa.concat_tables([group] * 33).slice(0, count)
    index = table.schema.get_field_index("index")
    table = table.set_column(index, table.schema.field(index), pa.array(range(count), table.schema.field(index).type))
    manifest = read_manifest(tmp_path / "own")
    manifest.shards["train"] = [write_shard(tmp_path / "own", "train", 0, table, {})]
    write_manifest(tmp_path / "own", manifest)
    del table, group
    file = pq.ParquetFile(tmp_path / "own" / "data" / "part-00000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(33)] == [ROW_GROUP] * 32 + [ROW_GROUP // 2]
    peaks = []
    for _ in range(3):
        before, peak, indices = pa.total_allocated_bytes(), 0, []
        for batch in Corpus(tmp_path / "own").batches("train", ["index"]):
            assert batch.num_rows <= ROW_GROUP
            assert batch.schema.names == ["index"]
            peak = max(peak, pa.total_allocated_bytes() - before)
            indices.append(batch.column("index").to_numpy().copy())
        assert np.concatenate(indices).tolist() == list(range(count))
        peaks.append(peak)
    # Of three readings the least: Arrow's pool also counts what other threads of the process come to hold meanwhile.
    assert min(peaks) < 4 * 8 * ROW_GROUP


CONFIGS = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
  - split: test
    path: test/*.parquet
---
"""


def test_everybodys_readers_see_both_splits_and_the_same_ids(tmp_path: Path) -> None:
    made = build_corpus(tmp_path / "own", {"train": 100, "test": 10})
    (tmp_path / "own" / "README.md").write_text(CONFIGS)
    by_datasets = load_dataset(str(tmp_path / "own"), cache_dir=str(tmp_path / "cache"))
    features = {name: str(feature) for name, feature in by_datasets["train"].features.items()}
    assert set(by_datasets) == {"train", "test"}
    for split, place in (("train", "data"), ("test", "test")):
        expected = [d.token_ids for d in made[split]]
        assert by_datasets[split]["token_ids"][:] == expected
        assert by_datasets[split]["index"][:] == list(range(len(expected)))
        assert pl.read_parquet(tmp_path / "own" / place / "*.parquet")["token_ids"].to_list() == expected
        assert pq.read_table(tmp_path / "own" / place)["token_ids"].to_pylist() == expected
    assert features["token_ids"] == "List(Value('uint16'))"
    assert features["logprob_p"] == features["logprob_q"] == "List(Value('float32'))"
    assert (features["index"], features["n_tokens"]) == ("Value('int64')", "Value('int32')")
    assert features["text"] == features["doc_id"] == features["source"] == "Value('string')"
    assert pl.read_parquet_schema(tmp_path / "own" / "data" / "part-00000.parquet")["token_ids"] == pl.List(pl.UInt16)


def test_large_vocabularies_load_as_uint32(tmp_path: Path) -> None:
    made = build_corpus(tmp_path / "own", {"train": 10, "test": 5}, vocab_size=200_000)
    ids = pl.read_parquet(tmp_path / "own" / "data" / "*.parquet")["token_ids"]
    assert ids.dtype == pl.List(pl.UInt32)
    assert ids.to_list() == [d.token_ids for d in made["train"]]
    assert ids[0][0] == 199_999
