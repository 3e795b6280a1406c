"""The catalog, local sources and their rows: what is known, what is refused, and that nothing is lost or read twice."""

import gzip
import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import zstandard
from datasets import Dataset, DatasetDict
from typer.testing import CliRunner

from faithful.base.errors import FaithfulError
from faithful.cli.sources_list import register
from generation.files import parts
from generation.files.templates import TEMPLATES
from generation.sources import rows as source_rows
from generation.sources.datasets_readers import Stream
from generation.sources.resolve import catalog, resolve_source
from generation.sources.rows import Rows
from generation.sources.source import Row, Source

# name: repository, config, columns, template, licence as the checked facts have them.
FACTS: dict[str, tuple[str, str | None, tuple[str, ...], str | None, str | None]] = {
    "fineweb": ("HuggingFaceFW/fineweb", "sample-10BT", ("text",), None, "odc-by"),
    "fineweb-edu": ("HuggingFaceFW/fineweb-edu", "sample-10BT", ("text",), None, "odc-by"),
    "pile": ("monology/pile-uncopyrighted", None, ("text",), None, "other"),
    "pile-dedup": ("EleutherAI/the_pile_deduplicated", None, ("text",), None, None),
    "openwebtext": ("Skylion007/openwebtext", "plain_text", ("text",), None, "cc0-1.0"),
    "tinystories": ("roneneldan/TinyStories", None, ("text",), None, "cdla-sharing-1.0"),
    "wikipedia": ("wikimedia/wikipedia", "20231101.en", ("text",), None, "cc-by-sa-3.0 + gfdl"),
    "wikitext": ("Salesforce/wikitext", "wikitext-103-raw-v1", ("text",), "wikitext-articles", "cc-by-sa"),
    "c4": ("allenai/c4", "en", ("text",), None, "odc-by"),
    "flan": ("Open-Orca/FLAN", None, ("inputs", "targets"), "flan", "cc-by-4.0"),
    "flan-small": ("itay1itzhak/flan_2022_350k", None, ("prompt", "completion"), "prompt-completion", "apache-2.0"),
    "tulu-3": ("allenai/tulu-3-sft-mixture", None, ("messages",), "chat", "odc-by"),
    "natural-instructions": (
        "Muennighoff/natural-instructions",
        None,
        ("definition", "inputs", "targets"),
        "natural-instructions",
        None,
    ),
    "alpaca": ("tatsu-lab/alpaca", None, ("instruction", "input", "output"), "alpaca", "cc-by-nc-4.0"),
    "smoltalk": ("HuggingFaceTB/smoltalk", "all", ("messages",), "chat", "apache-2.0"),
}
REVISIONS = {
    "pile": "3be90335b66f24456a5d6659d9c8d208c0357119",
    "pile-dedup": "fcbfcfde4222cbb1acd1d33bad0be250ee14b1bb",
    "openwebtext": "79d93d786212f7344586290adb811d4ae6a1762c",
}
LICENCE_UNVERIFIED = {"fineweb-edu", "pile-dedup", "wikipedia", "wikitext", "c4", "smoltalk"}
ENTRIES = {source.name: source for source in catalog()}
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


def test_the_catalog_holds_every_set_of_the_checked_facts() -> None:
    assert set(ENTRIES) == {*FACTS, "stdlib", "prose", "noise"}
    for name, facts in FACTS.items():
        source = ENTRIES[name]
        assert (source.repo, source.config, source.columns, source.template, source.licence) == facts
        assert (source.kind, source.unit, source.split) == ("hub", "document", "train")
        assert source.revision == REVISIONS.get(name)
        assert ("licence" in source.unverified) == (name in LICENCE_UNVERIFIED)
        assert source.about


def test_probe_tasks_are_left_out_of_every_set_with_task_names() -> None:
    columns = {
        "flan": "_task_name",
        "flan-small": "task_name",
        "natural-instructions": "task_name",
        "tulu-3": "source",
        "pile": "meta.pile_set_name",
    }
    assert {name: s.source_column for name, s in ENTRIES.items() if s.source_column} == columns
    for name in ("flan", "flan-small", "natural-instructions", "tulu-3"):
        assert ENTRIES[name].leave_out[:4] == ("sst2", "cola", "ag_news", "yelp")
    assert ENTRIES["flan"].data_files == ("flan_zsopt_data/*.parquet",)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_entry_has_a_card_with_its_facts(name: str) -> None:
    source = ENTRIES[name]
    card = (resources.files("data_cards") / "sources" / f"{name}.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    for heading in ("## Origin", "## Licence and republishing", "## Traps"):
        assert heading in card
    for fact in (source.repo, source.config, source.revision, source.licence, source.size):
        assert fact is None or fact in card
    for doubt in source.unverified:
        line = next(line for line in card.splitlines() if line.startswith("| not verified |"))
        assert ("description" if doubt == "about" else doubt) in line
    assert "://" not in card
    for task in source.leave_out:
        assert f"`{task}`" in card


@pytest.mark.parametrize("name", list(ENTRIES))
def test_identity_and_provenance_are_json_and_name_no_path(name: str) -> None:
    source = ENTRIES[name]
    if source.kind == "embedded":
        source = resolve_source(name)
    text = json.dumps(source.identity())
    assert json.loads(text) == source.identity()
    assert str(Path(str(resources.files("faithful")))) not in text + json.dumps(source.provenance())


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


def test_a_saved_folder_is_read_by_split(tmp_path: Path) -> None:
    sets = {split: Dataset.from_dict({"text": [f"{split} {n}" for n in range(150)]}) for split in ("train", "other")}
    DatasetDict(sets).save_to_disk(tmp_path / "both")
    sets["other"].save_to_disk(tmp_path / "one")
    for path, split, words in (("both", None, "train"), ("both", "other", "other"), ("one", None, "other")):
        source = resolve_source(str(tmp_path / path), split=split)
        whole = list(Rows(source, 1))
        assert sorted(row.text for row in whole) == sorted(f"{words} {n}" for n in range(150))
        assert whole[:2] != [Row(row.doc_id, f"{words} {n}", row.source) for n, row in enumerate(whole[:2])]
        rows = Rows(source, 1)
        list(islice(iter(rows), 83))
        assert list(Rows(source, 1, json.loads(json.dumps(rows.state())))) == whole[83:]
    assert refused(tmp_path / "both", split="test") == (
        f"{tmp_path / 'both'} has no split 'test'; it has train, other: choose with --split."
    )
    (tmp_path / "one" / "data-00000-of-00001.arrow").write_bytes(b"no arrow at all")
    assert refused(tmp_path / "one").startswith(f"{tmp_path / 'one'} cannot be read (")


def test_a_folder_whose_files_name_splits_is_read_by_split(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        write(tmp_path / "set" / f"{split}-00000-of-00001.parquet", [f"{split} {n}" for n in range(9)])
    for stated, split in ((None, "train"), ("test", "test")):
        source = resolve_source(str(tmp_path / "set"), split=stated)
        assert sorted(row.text for row in Rows(source, 0)) == [f"{split} {n}" for n in range(9)]
        assert (source.split, source.about) == (split, f"the split {split} of set")
    assert refused(tmp_path / "set", split="other") == (
        f"{tmp_path / 'set'} has no split 'other'; it has test, train: choose with --split."
    )


def test_identity_holds_the_content_and_not_the_place(tmp_path: Path) -> None:
    folder_of(tmp_path / "a", ".jsonl", files=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (resolve_source(str(tmp_path / name)) for name in "ab")
    digest = hashlib.sha256((tmp_path / "a" / "part-00.jsonl").read_bytes()).hexdigest()
    assert first.identity() == second.identity()
    assert first.identity()["files"]["part-00.jsonl"] == digest
    assert first.provenance()["path"] == str(tmp_path / "a")
    assert second.identity() != resolve_source(str(tmp_path / "b"), template="{text} {n}").identity()
    assert second.identity() != resolve_source(str(tmp_path / "b"), unit="passage").identity()
    write(tmp_path / "b" / "part-01.jsonl", ["something else"])
    assert first.identity() != resolve_source(str(tmp_path / "b")).identity()


def test_a_lone_file_gives_its_name_to_the_corpus(tmp_path: Path) -> None:
    write(tmp_path / "my.notes.jsonl.zst", ["one", "two"])
    source = resolve_source(str(tmp_path / "my.notes.jsonl.zst"))
    assert source.name == "my.notes"
    assert list(source.identity()["files"]) == ["my.notes.jsonl.zst"]
    assert list(Rows(source, 0)) == [
        Row(f"my.notes.jsonl.zst:{place}", text, "my.notes.jsonl.zst") for place, text in enumerate(("one", "two"))
    ]


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


def test_messages_get_the_chat_template_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi\n"}, {"role": "assistant"}]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    source = resolve_source(str(path))
    assert (source.identity()["template"], source.identity()["columns"]) == ("chat", ["messages"])
    assert source.provenance()["template_rule"] == TEMPLATES["chat"].rule
    assert [row.text for row in Rows(source, 0)] == ["System: Be kind.\n\nUser: Hi"]


def test_columns_and_format_strings(tmp_path: Path) -> None:
    path = tmp_path / "qa.csv"
    path.write_text("title,question,answer\nA,Why?,So\n,,\nB,,Yes\n")
    assert [row.text for row in Rows(resolve_source(str(path), columns=("answer",)), 0)] == ["So", "Yes"]
    both = resolve_source(str(path), columns=("question", "answer"))
    assert both.identity()["template"] == "{question}\n{answer}"
    assert [row.text for row in Rows(both, 0)] == ["Why?\nSo", "\nYes"]
    typed = resolve_source(str(path), template=r"Q: {question}\nA: {answer}")
    assert [row.text for row in Rows(typed, 0)] == ["Q: Why?\nA: So", "Q: \nA: Yes"]
    flan = resolve_source(str(path), columns=("question", "answer"), template="flan")
    assert [row.text for row in Rows(flan, 0)] == ["Why? So", "Yes"]


def test_embedded_sets_are_frozen_and_hashed() -> None:
    for name, files, some in (("stdlib", 173, "import"), ("prose", 6, "Bennet")):
        source = resolve_source(name)
        (file, digest), *_ = source.identity()["files"].items()
        path = resources.files("faithful.embedded") / file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        rows = list(Rows(source, 0))
        assert (source.unit, len(rows), len({row.doc_id for row in rows})) == ("passage", files, files)
        assert any(some in row.text for row in rows)
        assert all(row.source == row.doc_id for row in rows)
        assert list(Rows(source, 0)) == rows


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


def test_names_that_are_not_unicode_are_refused(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "texts") + b"/caf\xe9.jsonl")).write_text('{"text": "a"}\n')
    said = refused(tmp_path / "texts")
    assert said.endswith("caf\\udce9.jsonl is not UTF-8; rename it.")


def test_a_column_that_names_tasks_is_found_however_late_it_comes(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f'no "task" in {place}', "meta": {"task": "x"}} for place in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert resolve_source(str(tmp_path / "a.jsonl")).source_column is None
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "b", "task": "glue/sst2"}) + "\n")
    source = resolve_source(str(tmp_path))
    assert (source.source_column, source.leave_out[0]) == ("task", "sst2")
    found = Rows(source, 0)
    assert len(list(found)) == 200
    assert found.dropped == {"task": 1}


def test_columns_are_those_of_the_first_file_that_has_rows() -> None:
    class Streamed:
        """What the library makes of JSON files whose columns are not stated."""

        column_names = features = None

        def __init__(self, files: list[list[dict[str, Any]]]) -> None:
            self.files = files

        def as_streaming_dataset(self) -> dict[str, "Streamed"]:
            return {"train": self}

        def shard(self, number: int, file: int) -> "Streamed":
            return Streamed([self.files[file]])

        def iter(self, batch_size: int) -> Any:
            return iter([{name: [row[name] for row in rows] for name in rows[0]} for rows in self.files if rows])

    assert Stream(Streamed([[], [{"text": "a", "n": 1}]]), "train", ["a", "b"]).columns() == ["text", "n"]
    with pytest.raises(FaithfulError, match="holds no rows"):
        Stream(Streamed([[], []]), "train", ["a", "b"]).columns()


def test_tasks_whose_names_are_not_unicode_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "a", "task": "x\ud800"}, {"text": "b", "task": "y"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Rows(resolve_source(str(tmp_path / "a.jsonl")), 0)
    assert [row.text for row in found] == ["b"]
    assert found.dropped == {"not unicode": 1}


@pytest.mark.parametrize("name", ["q:1", "q!r", "q[0", "q{", "q}"])
def test_columns_that_would_mean_something_in_a_format_string(tmp_path: Path, name: str) -> None:
    (tmp_path / "qa.csv").write_text(f"{name},a\nWhy?,So\n")
    said = refused(tmp_path / "qa.csv", columns=(name, "a"))
    assert said == f"The column '{name}' cannot stand in a format string; rename it, or read it alone."
    assert [row.text for row in Rows(resolve_source(str(tmp_path / "qa.csv"), columns=(name,)), 0)] == ["Why?"]


def damaged_files(where: Path) -> dict[str, tuple[Path, str]]:
    """Name → a path that cannot be read, and what the sentence says of it."""
    rng = random.Random(0)
    texts = [str(rng.random()) for _ in range(2000)]

    def cut(name: str) -> Path:
        write(where / name, texts)
        content = (where / name).read_bytes()
        (where / name).write_bytes(content[: len(content) * 2 // 3])
        return where / name

    def holding(name: str, content: bytes) -> Path:
        (where / name).parent.mkdir(exist_ok=True)
        (where / name).write_bytes(content)
        return where / name

    (where / "none").mkdir()
    (where / "hidden" / ".git").mkdir(parents=True)
    holding("hidden/.git/config.json", b"{}")
    mixed = holding("mixed/a.txt", b"a").parent
    holding("mixed/b.csv", b"text\nb\n")
    other = holding("other/a.csv", b"text\nb\n").parent
    write(other / "b.csv.gz", ["x"])
    write(holding("unlike/x", b"").parent / "a.parquet", ["a"])
    pq.write_table(pa.table({"body": ["b"]}), where / "unlike" / "b.parquet")
    holding("corpus/corpus.json", b"{}")
    return {
        "parquet": (cut("cut.parquet"), "cannot be read as parquet ("),
        "arrow": (holding("no.arrow", b"not arrow"), "cannot be read as arrow ("),
        "zst": (cut("cut.jsonl.zst"), "Truncated compressed stream"),
        "csv zst": (cut("cut.csv.zst"), "Truncated compressed stream"),
        "no zst": (holding("no.jsonl.zst", b"hello"), "ZSTD"),
        "gz": (cut("cut.jsonl.gz"), "ended before the end-of-stream marker"),
        "no gz": (holding("no.csv.gz", b"hello"), "Not a gzipped file"),
        "jsonl": (cut("cut.jsonl"), ": the file is damaged or cut off"),
        "json": (cut("cut.json"), "Line 1 of"),
        "array": (
            holding("array.jsonl", b'{"text": "a"}\n[1]\n'),
            "line 2: a JSON object with named columns is needed",
        ),
        "jsonl utf": (holding("latin.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n'), "Line 2 of"),
        "csv utf": (holding("latin.csv", b"text\ncaf\xe9\n"), "is not UTF-8 text ("),
        "txt utf": (holding("latin.txt", b"caf\xe9 noir"), "is not UTF-8 text ("),
        "ragged": (holding("ragged.csv", b"text,n\na,1\nb,2,3\n"), "Line 3 of"),
        "quote": (holding("quote.csv", b'text,n\n"a,1\n'), "unexpected end of data"),
        "no rows": (holding("header.csv", b"text,n\n"), "holds no rows"),
        "empty": (holding("empty.jsonl", b""), "holds no rows"),
        "blank": (holding("zero.parquet", b""), "cannot be read as parquet ("),
        "nothing": (where / "none", "holds no file of a known type"),
        "hidden": (where / "hidden", "holds no file of a known type"),
        "type": (holding("a.docx", b"x"), "is of no known type"),
        "mixed": (mixed, "mixes types: 1 csv (b.csv …), 1 text (a.txt …)"),
        "unlike": (where / "unlike", "has the columns body and a.parquet has text, n"),
        "corpus": (where / "corpus", "is a corpus already: use it as it is"),
    }


DAMAGED = (
    "parquet", "arrow", "zst", "csv zst", "no zst", "gz", "no gz", "jsonl", "json", "array", "jsonl utf", "csv utf",
    "txt utf", "ragged", "quote", "no rows", "empty", "blank", "nothing", "hidden", "type", "mixed", "unlike", "corpus",
)  # fmt: skip


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    found = damaged_files(tmp_path_factory.mktemp("damaged"))
    assert set(found) == set(DAMAGED)
    return found


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_sentence_that_names_them(damaged: dict[str, tuple[Path, str]], name: str) -> None:
    path, words = damaged[name]
    said = refused(path)
    assert words in said
    assert str(path) in said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: {"columns": ("body",)}, "has no column 'body'; it has text, n."),
        (lambda path: {"template": "{body}"}, "has no column 'body'; it has text, n."),
        (lambda path: {"template": "poem"}, "'poem' is no template; choose one of flan, prompt-completion,"),
        (lambda path: {"template": "{text!r}"}, "must name its columns as {name}"),
        (lambda path: {"template": "{text"}, "cannot be read"),
        (lambda path: {"template": "alpaca"}, "has no column 'instruction'; it has text, n."),
        (lambda path: {"template": "flan", "columns": ("text",)}, "takes 2 columns (inputs, targets)"),
        (lambda path: {"template": "chat", "columns": ("text",)}, "needs a column with a list of messages"),
        (lambda path: {"leave_out": ("sst2",)}, "has no column that names tasks"),
        (lambda path: {"unit": "line"}, "'line' is not a unit; choose document or passage."),
        (lambda path: {"config": "x", "revision": "y"}, "takes no --config and no --revision"),
        (lambda path: {"split": "test"}, "takes no --split"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, make: Callable[[Path], dict[str, Any]], words: str
) -> None:
    write(tmp_path / "a.jsonl", ["a"])
    assert words in refused(tmp_path / "a.jsonl", **make(tmp_path))


@pytest.mark.parametrize("name", ["webtext", "./texts", "data/texts.jsonl", "a/b/c", ""])
def test_names_that_stand_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    if name:
        assert refused(name).startswith(f"'{name}' is no name of the catalog, no file or folder here, and no Hub id")


def test_embedded_sets_take_no_options() -> None:
    assert refused("stdlib", revision="main") == "stdlib takes no --revision; leave that out."
    assert refused("prose", template="{text}") == "prose takes no --template; leave that out."


def test_without_a_network_the_hub_is_one_sentence() -> None:
    for name in ("fineweb", "FineWeb", "someone/some-set"):
        assert "(offline mode is on); connect, or give local files or an embedded set" in refused(name)


def test_structures_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": {"en": "a"}}\n')
    assert refused(tmp_path / "a.jsonl").startswith("A column holds structures (dict) where text is needed")


def test_corpus_list_prints_every_set() -> None:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    shown = CliRunner().invoke(app, ["list"])
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in ENTRIES)
    assert "odc-by?" in shown.stdout
    assert shown.stderr.strip().splitlines()[-1].startswith("Next: faithful corpus add")
    facts = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert list(facts) == list(ENTRIES)
    assert facts["flan"]["leave_out"] == ["sst2", "cola", "ag_news", "yelp"]
    assert facts["stdlib"]["data_files"] == ["tiny/stdlib.jsonl.zst"]
    assert isinstance(ENTRIES["flan"], Source)


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
