"""Parquet and Arrow shards whose types drift: all rows are read, or the column, both types and both files are named."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows

N = 30
TEXTS = [[f"Shard {shard} row {i}: a grey heron stood still." for i in range(N)] for shard in (0, 1)]
KINDS = {
    "null": lambda values: pa.nulls(len(values)),
    "string": lambda values: pa.array(values),
    "large_string": lambda values: pa.array(values, pa.large_string()),
    "string_view": lambda values: pa.array(values, pa.string_view()),
    "category": lambda values: pa.array(values).dictionary_encode(),
    "large category": lambda values: pa.array(values, pa.large_string()).dictionary_encode(),
}


def write(folder: Path, shards: list[dict[str, Any]], ending: str = "parquet") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, columns in enumerate(shards):
        table, path = pa.table(columns), folder / f"part-{number}.{ending}"
        if ending == "parquet":
            pq.write_table(table, path, row_group_size=8)
        else:
            with pa.OSFile(str(path), "wb") as content, pa.ipc.new_stream(content, table.schema) as writer:
                writer.write_table(table)
    return folder


def read(folder: Path, **options: Any) -> list[str]:
    return sorted(row.text for row in Rows(resolve_source(str(folder), **options), 0))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_texts_are_read_however_they_are_stored(tmp_path: Path, first: str, second: str, ending: str) -> None:
    kinds = (first, second)
    shards = [{"text": KINDS[kind](texts)} for kind, texts in zip(kinds, TEXTS, strict=True)]
    expected = sorted(text for kind, texts in zip(kinds, TEXTS, strict=True) for text in texts if kind != "null")
    folder = write(tmp_path / "set", shards, ending)
    if expected:
        assert read(folder) == expected


def test_a_column_that_is_empty_in_one_shard_is_read_in_the_other(tmp_path: Path) -> None:
    titles = [pa.nulls(N), pa.array([f"Heron {i}" for i in range(N)])]
    folder = write(tmp_path / "set", [{"title": titles[shard], "text": TEXTS[shard]} for shard in (0, 1)])
    found = read(folder, columns=("title", "text"))
    assert len(found) == 2 * N
    assert sum(text.startswith("Heron") for text in found) == N


def test_messages_may_have_another_key_in_another_shard(tmp_path: Path) -> None:
    extra: list[dict[str, Any]] = [{}, {"name": "observer"}]
    shards = [{"messages": [[{"role": "user", "content": text} | extra[s]] for text in TEXTS[s]]} for s in (0, 1)]
    assert read(write(tmp_path / "set", shards)) == sorted(f"User: {text}" for texts in TEXTS for text in texts)
    empty = write(tmp_path / "empty", [{"messages": pa.array([[]] * N, pa.list_(pa.null()))}, shards[1]])
    assert len(read(empty)) == N


def test_columns_that_are_not_read_may_differ(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "set", [{"text": TEXTS[0], "n": [1] * N}, {"text": TEXTS[1], "n": ["one"] * N, "m": [2] * N}]
    )
    assert read(folder) == sorted(TEXTS[0] + TEXTS[1])


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("other", "kind"),
    [
        ([1] * N, "int64"),
        ([["a"]] * N, "list<"),
        ([{"a": "b"}] * N, "struct<"),
        ([b"raw"] * N, "binary"),
        ([1.5] * N, "double"),
    ],
)
def test_another_kind_is_refused_before_anything_starts(
    tmp_path: Path, other: list[Any], kind: str, ending: str
) -> None:
    folder = write(tmp_path / "set", [{"text": TEXTS[0]}, {"text": pa.nulls(N)}, {"text": other}], ending)
    with pytest.raises(
        FaithfulError, match=rf"'text' is string in \S+part-0\.{ending} and {kind}.* in \S+part-2\.{ending}; write"
    ):
        resolve_source(str(folder), columns=("text",))


def test_a_column_that_a_shard_lacks_is_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [{"text": TEXTS[0]}, {"body": TEXTS[1]}])
    with pytest.raises(FaithfulError, match=r"part-1\.parquet has the columns body and part-0\.parquet has text"):
        resolve_source(str(folder))


def test_a_place_in_a_table_is_found_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", [{"text": TEXTS[0]}, {"text": TEXTS[1]}])
    for ending in ("parquet", "arrow"):
        source = resolve_source(str(write(tmp_path / ending, [{"text": TEXTS[0]}, {"text": TEXTS[1]}], ending)))
        whole = [row.doc_id for row in Rows(source, 3)]
        for cut in (1, 9, 40):
            rows = Rows(source, 3)
            stream = iter(rows)
            first = [next(stream).doc_id for _ in range(cut)]
            assert first + [row.doc_id for row in Rows(source, 3, rows.state())] == whole
    assert resolve_source(str(folder)).parts == "row groups"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, ending: str) -> None:
    table, path = pa.table(TEXTS, names=["text", "text"]), tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as content, pa.ipc.new_stream(content, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(FaithfulError, match=r"has several columns called 'text'"):
        read(path)
