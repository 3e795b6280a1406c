"""Sets written as files, and what a source says when it is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from faithful.base.errors import FaithfulError
from generation.sources.resolve import catalog, resolve_source
from generation.sources.rows import Rows


def write(path: Path, texts: list[str], builder: str | None = None) -> None:
    """Texts in a file of the type its name says; a text file takes the first only."""
    columns = {"text": texts, "n": [str(place) for place in range(len(texts))]}
    suffixes = path.suffixes
    kind = builder or (suffixes[-2] if suffixes[-1] in (".gz", ".zst") else suffixes[-1])
    if kind == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=7)
        return
    if kind == ".arrow":
        with pa.ipc.new_file(str(path), pa.table(columns).schema) as file:
            file.write_table(pa.table(columns), max_chunksize=5)
        return
    rows = [{"text": text, "n": str(place)} for place, text in enumerate(texts)]
    separator = "\t" if kind == ".tsv" else ","
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    content = {
        ".txt": texts[0],
        ".jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        ".json": json.dumps(rows),
        ".csv": f"text{separator}n\n" + "".join(f"{text}{separator}{n}\n" for n, text in enumerate(quoted)),
    }[".csv" if kind == ".tsv" else kind].encode()
    if suffixes[-1] == ".gz":
        content = gzip.compress(content)
    if suffixes[-1] == ".zst":
        content = zstandard.compress(content)
    path.write_bytes(content)


def folder_of(where: Path, suffix: str, files: int = 20, rows: int = 30) -> list[str]:
    """A folder of files; their texts hold quotes, line breaks, commas and letters of other alphabets."""
    where.mkdir()
    texts = []
    for file in range(files):
        count = 1 if suffix.startswith(".txt") else rows + file % 3
        part = [f'file {file} row {row}, "quoted",\ntab\t| NA | 007 | ü 漢 😀' for row in range(count)]
        write(where / f"part-{file:02d}{suffix}", part)
        texts += part
    return texts


def refused(name: str | Path, **options: Any) -> str:
    with pytest.raises(FaithfulError) as error:
        list(Rows(resolve_source(str(name), **options), 0))
    assert "\n" not in str(error.value)
    return str(error.value)


ENTRIES = {source.name: source for source in catalog()}
