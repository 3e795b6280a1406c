"""Shards as files."""

import hashlib
from pathlib import Path

from faithful.store.corpus import Document, intact_shards, to_table
from faithful.store.shard_files import encode_shard, write_shard


def test_what_is_encoded_elsewhere_is_what_is_written_here(tmp_path: Path) -> None:
    documents = [Document(index, index, [index + 1] * 3, "stop", [-1.0] * 3) for index in range(50, 90)]
    table = to_table(documents, [str(one.index) for one in documents], 300)
    encoded = encode_shard("test", 4, table, {"lengths": {}})  # type: ignore[arg-type]
    assert write_shard(tmp_path / "here", "test", 4, table, {"lengths": {}}) == encoded.shard  # type: ignore[arg-type]
    assert encoded.write(tmp_path / "there") == encoded.shard
    for place in ("here", "there"):
        assert intact_shards(tmp_path / place, [encoded.shard]) == [True]
    assert (encoded.shard.first, encoded.shard.rows, encoded.shard.tokens) == (50, 40, 120)
    assert (encoded.shard.bytes, encoded.shard.sha256) == (
        len(encoded.content), hashlib.sha256(encoded.content).hexdigest()
    )  # fmt: skip
