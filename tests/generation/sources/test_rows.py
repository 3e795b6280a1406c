"""Documents of a source as a stream that can be left and gone on with."""

import json
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from generation.files import parts
from generation.sources import rows as source_rows
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows
from tests.generation.sources.written import folder_of, refused, write

FORMATS = (
    ".txt",
    ".txt.gz",
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.zst",
    ".json",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".parquet",
    ".arrow",
)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_document_comes_once_and_a_stream_goes_on_where_it_stopped(tmp_path: Path, suffix: str) -> None:
    texts = folder_of(tmp_path / "texts", suffix)
    source = resolve_source(str(tmp_path / "texts"))
    assert (source.name, source.kind) == ("texts", "files")
    assert source.unit == ("passage" if suffix.startswith(".txt") else "document")
    whole = list(Rows(source, 7))
    assert sorted(row.text for row in whole) == sorted(texts)
    assert len({row.doc_id for row in whole}) == len(texts)
    assert {row.source for row in whole} == {f"part-{file:02d}{suffix}" for file in range(20)}
    assert len({row.source for row in whole[:16]}) == 16
    assert list(Rows(source, 7)) == whole
    assert list(Rows(source, 8)) != whole
    for cut in (0, 1, 15, 16, 17, len(whole) // 2, len(whole) - 1, len(whole)):
        rows = Rows(source, 7)
        assert list(islice(iter(rows), cut)) == whole[:cut]
        state = json.loads(json.dumps(rows.state()))
        assert list(Rows(source, 7, state)) == whole[cut:]
        assert list(rows) == whole[cut:]


def test_what_is_left_out_is_counted_and_the_counts_survive_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    names = ["glue_cola", "piqa", None, "ag_news_subset", "yelp_polarity_reviews", "sst2_10templates", "piqa"]
    rows = [{"text": f"text {place}", "task": name} for place, name in enumerate(names)]
    bad = [{"text": None}, {"text": " \n\t"}, {"n": 1}, {"text": "\ud800 alone"}, {"text": "last"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *bad]))
    source = resolve_source(str(path))
    assert (source.source_column, source.leave_out) == ("task", ("sst2", "cola", "ag_news", "yelp"))
    kept = list(Rows(source, 0))
    assert [row.text for row in kept] == ["text 1", "text 2", "text 6", "last"]
    assert [row.source for row in kept] == ["piqa", "tasks.jsonl", "piqa", "tasks.jsonl"]
    everything = {"task": 4, "empty": 3, "not unicode": 1}
    for cut in range(5):
        first = Rows(source, 0)
        list(islice(iter(first), cut))
        second = Rows(source, 0, json.loads(json.dumps(first.state())))
        assert second.dropped == first.dropped
        list(second)
        assert second.dropped == (everything if cut < 4 else first.dropped)
    with_all = Rows(resolve_source(str(path), leave_out=()), 0)
    assert len(list(with_all)) == 8
    assert "task" not in with_all.dropped
    only_piqa = resolve_source(str(path), leave_out=("piqa",))
    assert [row.text for row in Rows(only_piqa, 0)][:2] == ["text 0", "text 2"]


def test_noise_has_no_rows() -> None:
    source = resolve_source("noise")
    assert source.identity() == {"kind": "noise"}
    with pytest.raises(FaithfulError, match="noise has no rows"):
        Rows(source, 0)


def test_broken_connections_wait_longer_each_time_and_start_over_after_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.jsonl", ["0", "1", "2", "3"])
    source = resolve_source(str(tmp_path / "a.jsonl"))
    faults = {0: 2, 2: 3}
    skipped: list[int] = []

    class Flaky:
        names = ("a.jsonl",)

        def select(self, columns: tuple[str, ...]) -> "Flaky":
            return self

        def rows(self, file: int, skip: int = 0) -> Any:
            skipped.append(skip)
            for row in range(skip, 4):
                if faults.get(row):
                    faults[row] -= 1
                    raise ConnectionResetError("reset by peer")
                yield {"text": str(row)}

    waited: list[float] = []
    monkeypatch.setattr(source_rows, "open_source", lambda source: Flaky())
    monkeypatch.setattr(time, "sleep", waited.append)
    assert [row.text for row in Rows(source, 0, pauses=(1, 2, 3))] == ["0", "1", "2", "3"]
    assert (waited, skipped) == ([1, 2, 1, 2, 3], [0, 0, 0, 2, 2, 2])
    faults[1] = 4
    with pytest.raises(FaithfulError, match=r"broke 4 times while reading a, a.jsonl \(reset by peer\)"):
        list(Rows(source, 0, pauses=(1, 2, 3)))


def test_a_file_of_a_pinned_revision_that_seems_gone_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's answer to a file it has lost for a moment; a local file that is gone stays gone."""
    write(tmp_path / "a.jsonl", ["0", "1"])
    local = resolve_source(str(tmp_path / "a.jsonl"))
    faults: list[Exception] = []

    class Gone:
        names = ("a.jsonl",)

        def select(self, columns: tuple[str, ...]) -> "Gone":
            return self

        def rows(self, file: int, skip: int = 0) -> Any:
            for row in range(skip, 2):
                if row and faults:
                    raise faults.pop()
                yield {"text": str(row)}

    monkeypatch.setattr(source_rows, "open_source", lambda source: Gone())
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    faults += [FileNotFoundError("hf://a.jsonl")] * 2
    assert [row.text for row in Rows(replace(local, kind="hub", revision="f" * 40), 0)] == ["0", "1"]
    faults += [FileNotFoundError("a.jsonl")]
    with pytest.raises(FaithfulError, match="cannot be read"):
        list(Rows(local, 0))


def test_tasks_whose_names_are_not_unicode_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "a", "task": "x\ud800"}, {"text": "b", "task": "y"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Rows(resolve_source(str(tmp_path / "a.jsonl")), 0)
    assert [row.text for row in found] == ["b"]
    assert found.dropped == {"not unicode": 1}


PART = 2000


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)


def one_file(where: Path, suffix: str) -> list[str]:
    """A file far longer than a part, and its documents in order, with blank lines between and letters of two bytes."""
    texts = [f"document {place} — ü 漢 " + "word " * (place % 7) for place in range(600)]
    path = where / f"one{suffix}"
    if suffix == ".txt":
        path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(texts).encode())
    elif suffix == ".jsonl":
        rows = ["" if place % 50 == 3 else json.dumps({"text": text}) for place, text in enumerate(texts)]
        path.write_bytes(b"\xef\xbb\xbf" + "\n".join(rows).encode())
        texts = [text for place, text in enumerate(texts) if place % 50 != 3]
    else:
        write(path, texts)
    return texts


@pytest.mark.parametrize("suffix", [".jsonl", ".txt", ".parquet"])
@pytest.mark.usefixtures("short_parts")
def test_a_lone_file_is_read_from_all_over(tmp_path: Path, suffix: str) -> None:
    texts = one_file(tmp_path, suffix)
    source = resolve_source(str(tmp_path / f"one{suffix}"))
    borders = {".jsonl": "line borders", ".txt": "blank lines"}
    rule = f"parts of 2,000 bytes cut at {borders[suffix]}" if suffix in borders else "row groups"
    assert source.identity()["parts"] == rule
    whole = list(Rows(source, 7))
    if suffix == ".txt":
        pieces = sorted(whole, key=lambda row: int(row.doc_id.partition(":")[2] or 0))
        assert "".join(row.text for row in pieces) == "\n\n".join(texts)
        assert all(row.text.startswith("document ") for row in pieces)
        assert [row.doc_id for row in pieces[:2]] == ["one.txt", "one.txt:1"]
        assert all(PART - 200 <= len(row.text.encode()) < PART + 200 for row in pieces[:-1])
        places = [int(row.doc_id.partition(":")[2] or 0) / len(whole) for row in whole]
    else:
        places = [int(row.doc_id.removeprefix(f"one{suffix}:")) for row in whole]
        assert [row.text for row in whole] == [texts[place] for place in places]
        assert sorted(places) == list(range(len(texts)))
        places = [place / len(texts) for place in places]
    assert min(places[:16]) < 0.2
    assert max(places[:16]) > 0.7
    assert [row.doc_id for row in Rows(source, 8)] != [row.doc_id for row in whole]
    for cut in (0, 1, 15, 16, 17, len(whole) // 2, len(whole) - 1, len(whole)):
        rows = Rows(source, 7)
        assert list(islice(iter(rows), cut)) == whole[:cut]
        assert list(Rows(source, 7, json.loads(json.dumps(rows.state())))) == whole[cut:]


@pytest.mark.usefixtures("short_parts")
def test_files_that_cannot_be_entered_in_the_middle_are_read_whole(tmp_path: Path) -> None:
    texts = [f"text {place}, of\n\nthree lines" for place in range(400)]
    for suffix in (".json", ".csv", ".tsv", ".jsonl.gz", ".jsonl.zst", ".arrow"):
        write(tmp_path / f"whole{suffix}", texts)
        source = resolve_source(str(tmp_path / f"whole{suffix}"))
        assert "parts" not in source.identity()
        assert [row.text for row in Rows(source, 7)] == texts
    (tmp_path / "lines.jsonl").write_text("\n".join([json.dumps(texts), "\n" * PART]))
    assert "parts" not in resolve_source(str(tmp_path / "lines.jsonl")).identity()
    write(tmp_path / "short.jsonl", texts[:9])
    assert "parts" not in resolve_source(str(tmp_path / "short.jsonl")).identity()
    one_file(tmp_path, ".txt")
    assert "parts" not in resolve_source(str(tmp_path / "one.txt"), unit="document").identity()
    folder_of(tmp_path / "many", ".jsonl", files=16, rows=60)
    assert "parts" not in resolve_source(str(tmp_path / "many")).identity()
    folder_of(tmp_path / "few", ".jsonl", files=15, rows=60)
    assert "parts" in resolve_source(str(tmp_path / "few")).identity()


@pytest.mark.usefixtures("short_parts")
def test_faults_in_a_part_name_the_line_of_the_file(tmp_path: Path) -> None:
    texts = one_file(tmp_path, ".jsonl")
    path = tmp_path / "one.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[431] = b'{"text": '
    path.write_bytes(b"\n".join(lines))
    assert refused(path).startswith(f"Line 432 of {path} is not JSON")
    lines[431] = b'{"text": "caf\xe9"}'
    path.write_bytes(b"\n".join(lines))
    assert refused(path).startswith(f"Line 432 of {path} is not UTF-8")
    assert len(texts) == 588


@pytest.mark.usefixtures("short_parts")
def test_text_without_blank_lines_is_cut_at_lines_and_never_inside_one(tmp_path: Path) -> None:
    texts = [f"line {place} ü" for place in range(2000)]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    whole = list(Rows(resolve_source(str(tmp_path / "lines.txt")), 0))
    assert sorted("".join(row.text for row in sorted(whole, key=lambda row: row.doc_id)).split()) == sorted(
        "\n".join(texts).split()
    )
    assert all(2 * PART <= len(row.text.encode()) < 2 * PART + 20 for row in whole if not row.text.endswith("1999 ü"))
    assert len(whole) > 5
    (tmp_path / "line.txt").write_text("word " * PART)
    assert [row.text for row in Rows(resolve_source(str(tmp_path / "line.txt")), 0)] == ["word " * PART]


@pytest.mark.parametrize("column", ["dataset_name", "source_dataset", "original_dataset", "data_source", "subset"])
@pytest.mark.parametrize("task", ["glue/sst2", ["piqa", "AG's News"]], ids=["text", "list"])
def test_tasks_are_found_under_every_name_of_their_column_and_in_lists(tmp_path: Path, column: str, task: Any) -> None:
    lists = isinstance(task, list)
    rows = [{"text": "kept", column: ["piqa"] if lists else "piqa"}, {"text": "left", column: task}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = resolve_source(str(tmp_path / "a.jsonl"))
    assert source.source_column == column
    found = Rows(source, 0)
    assert [row.text for row in found] == ["kept"]
    assert found.dropped == {"task": 1}
