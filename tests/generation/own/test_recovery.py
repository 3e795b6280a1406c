"""A last shard that was replaced by a longer one just before its checksum was noted is put back."""

from pathlib import Path

import pyarrow.parquet as pq

from faithful.store.corpus import Shard, intact_shards, to_table
from faithful.store.shard_files import write_shard
from generation.own.recovery import restore_last_shard
from tests.faithful.store.test_corpus import some_documents


def shard_of(folder: Path, rows: int) -> Shard:
    documents = some_documents(50)[:rows]
    return write_shard(folder, "train", 0, to_table(documents, [str(one.index) for one in documents], 300), {})


def test_the_recorded_rows_of_a_longer_file_are_put_back(tmp_path: Path) -> None:
    recorded = shard_of(tmp_path, 20)
    before = (tmp_path / recorded.file).read_bytes()
    shard_of(tmp_path, 35)
    assert restore_last_shard(tmp_path, "train", [recorded], 300)
    assert (tmp_path / recorded.file).read_bytes() == before
    assert intact_shards(tmp_path, [recorded]) == [True]
    assert not restore_last_shard(tmp_path, "train", [recorded], 300)


def test_what_does_not_begin_with_them_is_left_as_it_is(tmp_path: Path) -> None:
    recorded = shard_of(tmp_path, 20)
    path = tmp_path / recorded.file
    shard_of(tmp_path, 12)
    shorter = path.read_bytes()
    assert not restore_last_shard(tmp_path, "train", [recorded], 300)
    assert path.read_bytes() == shorter
    other = pq.read_table(path).slice(3)
    pq.write_table(other, path)
    assert not restore_last_shard(tmp_path, "train", [recorded], 300)
    path.write_bytes(b"no table")
    assert not restore_last_shard(tmp_path, "train", [recorded], 300)
    assert path.read_bytes() == b"no table"
    path.unlink()
    assert not restore_last_shard(tmp_path, "train", [recorded], 300)
    assert not restore_last_shard(tmp_path, "train", [], 300)
