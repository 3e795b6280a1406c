"""`faithful corpus export`: a corpus as rows of `input_ids` that other trainers take without tokenising again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically
from faithful.base.quantities import check_stated
from faithful.store.contexts import LAYOUTS, aligned, packed
from faithful.store.corpus import SPLITS, Corpus
from generation.configs.export import ExportConfig

ROWS_PER_GROUP = 4096


def export(config: ExportConfig) -> tuple[Path, int]:
    """Write `OUT/train.parquet` and `OUT/test.parquet` with one column, `input_ids` list<int32>; BOS is first in each row.

    Returns:
        The folder and the number of training rows.

    Raises:
        FaithfulError: no corpus, one without tokens, an unknown layout, a context below 2, or an `--out` that is in use.
    """
    check_stated(config)
    corpus = Corpus(config.folder)
    if config.layout not in LAYOUTS:
        raise FaithfulError(f"'{config.layout}' is not a layout; choose packed or aligned.")
    if config.context < 2:
        raise FaithfulError("--context must be at least 2: BOS and one token.")
    name = f"{config.folder.resolve().name}-input_ids-{config.layout}-{config.context}"
    home = config.folder.resolve().parent
    out = config.out or (home.parent / "exports" if home.name == "corpora" else home) / name
    ours = {"train.parquet", "test.parquet"}
    if out.is_dir() and any(path.name not in ours and not path.name.endswith(".tmp") for path in out.iterdir()):
        raise FaithfulError(f"{out} is not empty; choose another --out.")
    if corpus.tokens() == 0:
        raise FaithfulError(f"{config.folder} holds no tokens yet; run the command that makes it again to fill it.")
    if next(rows(corpus, "train", config), None) is None:
        raise FaithfulError(
            f"{config.folder} has too few tokens for one row of {config.context}; use a smaller --context."
        )
    counts = {split: _write(corpus, split, config, out / f"{split}.parquet") for split in SPLITS}
    return out, counts["train"]


def rows(corpus: Corpus, split: str, config: ExportConfig) -> Iterator[np.ndarray]:
    """The contexts of a split, int64 arrays."""
    model = corpus.manifest.identity["model"]
    if config.layout == "aligned":
        return aligned(corpus.documents(split), config.context, model["bos_id"])
    return packed(corpus.documents(split), config.context, model["bos_id"], model["eos_ids"])


def _write(corpus: Corpus, split: str, config: ExportConfig, path: Path) -> int:
    schema = pa.schema([pa.field("input_ids", pa.list_(pa.int32()))])
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            group: list[np.ndarray] = []
            for row in rows(corpus, split, config):
                group.append(row.astype(np.int32))
                count += 1
                if len(group) == ROWS_PER_GROUP:
                    writer.write_table(pa.table({"input_ids": group}, schema=schema))
                    group = []
            if group:
                writer.write_table(pa.table({"input_ids": group}, schema=schema))

    write_atomically(path, write)
    return count
