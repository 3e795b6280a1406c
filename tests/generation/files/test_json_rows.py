"""JSON as people write it: lines, lists, one object; what is whole is never called damaged, what is not is told by line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from generation.files.parts import PART_BYTES
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows

ROWS = [{"id": i, "text": f"Entry {i}: the tide was low and the lamp burned until morning."} for i in range(40)]
TEXTS = sorted(str(row["text"]) for row in ROWS)


def read(path: Path, **options: Any) -> list[str]:
    return sorted(row.text for row in Rows(resolve_source(str(path), **options), 0))


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("before", ["", "\n\n", "\ufeff"])
@pytest.mark.parametrize(
    "whole", [ROWS, {"version": "1.1", "data": ROWS}, {"rows": ROWS, "tags": ["a", "b"], "errors": []}]
)
def test_the_rows_of_one_value_are_read(tmp_path: Path, whole: Any, indent: Any, before: str) -> None:
    text = before + json.dumps(whole, indent=indent)
    assert read(put(tmp_path / "whole.json", text)) == TEXTS
    (tmp_path / "whole.json.gz").write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / "whole.json.gz") == TEXTS


def test_a_long_file_of_one_object_is_not_cut_into_parts(tmp_path: Path) -> None:
    rows = [{"text": f"{i} " + "word " * 300} for i in range(800)]
    for indent in (None, 1):
        path = put(tmp_path / "long.json", json.dumps({"data": rows}, indent=indent))
        assert path.stat().st_size > PART_BYTES
        assert resolve_source(str(path)).parts is None
        assert len(read(path)) == 800
    lines = put(tmp_path / "lines.json", "".join(json.dumps(row) + "\n" for row in rows))
    assert resolve_source(str(lines)).parts is not None
    assert len(read(lines)) == 800


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_of_one_document_is_one_row(tmp_path: Path, indent: int | None) -> None:
    for row in ROWS:
        put(tmp_path / f"doc-{row['id']:03}.json", json.dumps(row, indent=indent))
    assert read(tmp_path) == TEXTS


def test_a_chat_in_a_file_of_its_own_is_one_row(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    path = put(tmp_path / "chat.json", json.dumps({"id": 1, "messages": turns}, indent=2))
    assert read(path) == ["User: Hi\n\nAssistant: Hello"]
    path = put(tmp_path / "talk.json", json.dumps({"id": 1, "turns": turns}, indent=2))
    assert read(path, columns=("turns",), template="chat") == ["User: Hi\n\nAssistant: Hello"]


def test_a_line_of_json_lines_is_a_row_even_alone(tmp_path: Path) -> None:
    path = put(tmp_path / "one.jsonl", json.dumps({"title": "a", "parts": [{"x": 1}]}) + "\n\n")
    assert read(path, columns=("title",)) == ["a"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.json",
            json.dumps({"train": ROWS, "test": ROWS}, indent=1),
            "one object with lists of rows under train, test",
        ),
        ("a.json", json.dumps({"text": ["a", "b"], "label": [0, 1]}), r"one object of columns \(text, label\)"),
        ("a.json", json.dumps({"text": {"0": "a"}, "label": {"0": 1}}, indent=1), "one object of columns"),
        (
            "a.json",
            "\n".join(json.dumps(row, indent=1) for row in ROWS[:3]),
            "several JSON values .* the second from line 5 on",
        ),
        (
            "a.jsonl",
            "\n".join(json.dumps(row, indent=1) for row in ROWS[:3]),
            "several JSON values .* write one on each line",
        ),
        ("a.json", json.dumps(ROWS[0]) * 2, "several JSON values"),
        (
            "a.json",
            json.dumps({"data": ROWS}, indent=2)[:-60],
            r"Line \d+ of .*a\.json is not JSON \(.*damaged or cut off",
        ),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": "b"\n',
            r"Line 2 of .*a\.jsonl is not JSON \(Expecting ',' delimiter, column 13\)",
        ),
        (
            "a.jsonl",
            '{"text": "a"}\n{\n "text": "b"}\n',
            "Line 2 of .* where its objects stretch over lines, write one a line",
        ),
        ("a.json", "3.5", "a JSON object with named columns is needed, not float"),
        ("a.json", "[" * 100_000, r"a\.json"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = put(tmp_path / name, text)
    with pytest.raises(FaithfulError, match=said):
        read(path)
