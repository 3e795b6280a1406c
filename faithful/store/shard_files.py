"""Shards as files: a table of rows becomes bytes wherever it is, and a file of a corpus where that is written."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faithful.base.files import write_bytes
from faithful.store.corpus import ROW_GROUP, Shard, shard_path
from faithful.store.manifest_parts import Sums


@dataclass(frozen=True)
class EncodedShard:
    """A shard as it will lie on disk.

    Attributes:
        shard: what the manifest will say of it.
        content: the bytes of its file.
    """

    shard: Shard
    content: bytes

    def write(self, folder: Path) -> Shard:
        """Write it atomically into a corpus; it counts once the manifest names it."""
        write_bytes(folder / self.shard.file, self.content)
        return self.shard


def encode_shard(split: str, number: int, table: pa.Table, statistics: Sums) -> EncodedShard:
    """A table as shard `number` of a split. The bytes depend on the rows alone."""
    numbers = ["token_ids.list.element", "logprob_p.list.element", "logprob_q.list.element"]
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP,
        use_dictionary=["finish_reason", "source"],
        column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        write_page_index=True,
    )
    content = buffer.getvalue()
    shard = Shard(
        file=shard_path(split, number),
        first=table["index"][0].as_py(),
        rows=table.num_rows,
        tokens=int(np.sum(table["n_tokens"].to_numpy())),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        statistics=statistics,
    )
    return EncodedShard(shard, content)


def write_shard(folder: Path, split: str, number: int, table: pa.Table, statistics: Sums) -> Shard:
    """Encode a shard and write it atomically."""
    return encode_shard(split, number, table, statistics).write(folder)
