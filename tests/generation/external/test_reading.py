"""From a source to the splits of a corpus: read on from where documents are missing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from generation.configs.add import AddConfig
from generation.external import reading as taking
from generation.external import windows as windows_module
from generation.external.add import add
from generation.sources.rows import Rows
from generation.sources.source import Row
from tests.generation.external.test_add import contents, some_texts, write_texts


def test_growing_does_not_read_the_source_from_the_beginning(
    wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The held-out split stops early; growing both reads a piece for it and goes on at the end for the other."""
    monkeypatch.setattr(windows_module, "ROWS", 8)
    path = write_texts(tmp_path / "many.jsonl", some_texts(2500))
    read: list[str] = []

    class Counting(Rows):
        def __iter__(self) -> Iterator[Row]:
            for row in super().__iter__():
                read.append(row.doc_id)
                yield row

    monkeypatch.setattr(taking, "Rows", Counting)
    out = tmp_path / "many"
    small = replace(wish, name=str(path), tokens=38_000, held_out=300, out=out, shard_rows=50)
    add(small)
    first = len(read)
    assert first > 1500
    read.clear()
    add(replace(small, tokens=39_000, held_out=500))
    assert len(read) < first / 2
    numbers = [int(name.split(":")[1]) for name in read]
    assert min(numbers) < 300
    assert max(numbers) > 1700
    direct = add(replace(small, tokens=39_000, held_out=500, out=tmp_path / "direct")).folder
    here, there = contents(out), contents(direct)
    assert all(here[name] == there[name] for name in there if name.endswith("parquet"))
