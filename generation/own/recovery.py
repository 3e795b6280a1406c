"""Save the rows of a last shard that was replaced by a longer one just before its checksum was noted.

Growing rewrites the last shard: the longer file is renamed over it, then the manifest notes the new checksum. A process
killed in between leaves a file that begins with the recorded rows. Serialised alone they give the recorded checksum,
and only then they are put back. The rows after them are known to nobody and are drawn again.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from faithful.store.corpus import Shard, from_table, intact_shards, to_table
from faithful.store.shard_files import encode_shard


def restore_last_shard(folder: Path, split: str, shards: list[Shard], vocab_size: int) -> bool:
    """Put the recorded last shard of a split back where its file is a longer version of it; whether that was done.

    Args:
        folder: the corpus, whose lock is held.
        split: `train` or `test`.
        shards: those of the manifest.
        vocab_size: decides the type of the token ids.
    """
    if not shards or intact_shards(folder, shards[-1:])[0]:
        return False
    shard, number = shards[-1], len(shards) - 1
    try:
        rows = pq.read_table(folder / shard.file).slice(0, shard.rows)
        table = to_table(from_table(rows), rows["text"].to_pylist(), vocab_size)
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException):
        return False
    if table.num_rows < shard.rows:
        return False
    found = encode_shard(split, number, table, {})
    if found.shard.sha256 != shard.sha256:
        return False
    found.write(folder)
    return True
