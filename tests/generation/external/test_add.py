"""Comparison corpora: what each document is, what growing, killing and repairing give, and what is refused."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from faithful.base.errors import FaithfulError
from faithful.cli.add import register
from faithful.hub.errors import connection_lost
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import SPLITS, Corpus, Manifest, read_manifest
from generation.cards.describe import statistics_of
from generation.cards.parts import statistics_rows
from generation.configs.add import AddConfig
from generation.configs.derive import ShuffleConfig
from generation.derived.shuffle import shuffle
from generation.external import add as add_module
from generation.external import reading as taking
from generation.external import windows as windows_module
from generation.external.add import add, plan_add
from generation.files import parts
from generation.sources.held_out import side_of_text
from generation.sources.rows import Rows
from generation.sources.source import Row
from generation.writing import shards
from generation.writing import train_test_duplicates as across_module
from generation.writing.splits import split_of
from generation.writing.train_test_duplicates import shared_grams, train_test_duplicates
from tests.families import TEXT, build_without_bos
from tests.generation.sources.hub_server import SHA, Hub, serving
from tests.own import write_external

Folder = Callable[[str], Path]
CONTEXT, LIMIT, WINDOW, SHARD = 32, 31, 64, 12
TOKENS, HELD_OUT = 4000, 500
WORDS = TEXT.split()


def some_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 20 words, one in ten equal to an earlier one."""
    draw = np.random.default_rng(seed)
    texts: list[str] = []
    for _ in range(count):
        again = texts and draw.random() < 0.1
        words = [WORDS[place] for place in draw.integers(0, len(WORDS), draw.integers(1, 21))]
        texts.append(texts[draw.integers(len(texts))] if again else " ".join(words))
    return texts


def write_texts(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 texts; never change the file."""
    return write_texts(tmp_path_factory.mktemp("source") / "words.jsonl", some_texts(400))


@pytest.fixture(scope="module")
def wish(source: Path, family_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> AddConfig:
    """What most tests ask for; without a folder of their own they must not run it."""
    return AddConfig(
        name=str(source),
        model=str(family_folder("gpt2")),
        tokens=TOKENS,
        held_out=HELD_OUT,
        out=tmp_path_factory.mktemp("corpus") / "words",
        context=CONTEXT,
        window=WINDOW,
        shard_rows=SHARD,
        seed=3,
    )


@pytest.fixture(scope="module")
def corpus(wish: AddConfig) -> Path:
    """A corpus made at once; never change it: copy it first."""
    return add(wish).folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock and the log, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "log.jsonl")
    }


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    return [
        row for shard in read_manifest(folder).shards[split] for row in pq.read_table(folder / shard.file).to_pylist()
    ]


def side_of(text: str, model: Path) -> str:
    """The split that a short text falls into."""
    return split_of(np.array(load_tokenizer(str(model), None)(text, add_special_tokens=False)["input_ids"]))


def command(arguments: list[str]) -> Result:
    """`faithful corpus add …` as the command line runs it."""
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["add", *arguments])


# What a document is


def test_each_split_is_the_shortest_prefix_with_its_tokens(corpus: Path) -> None:
    for split, tokens in (("train", TOKENS), ("test", HELD_OUT)):
        lengths = [len(document) for document in Corpus(corpus).documents(split)]
        assert sum(lengths) >= tokens > sum(lengths[:-1])
        assert len(read_manifest(corpus).shards[split]) > 1


def test_rows_say_what_they_are(corpus: Path, source: Path, family_folder: Folder) -> None:
    tokenizer = load_tokenizer(str(family_folder("gpt2")), None)
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    seen = set()
    for split in SPLITS:
        for place, row in enumerate(rows_of(corpus, split)):
            text = texts[int(row["doc_id"].split(":")[1])]
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            closed = len(ids) < LIMIT
            assert row["token_ids"] == ([*ids, tokenizer.eos_token_id] if closed else ids[:LIMIT])
            assert row["finish_reason"] == ("stop" if closed else "length")
            assert (row["index"], row["seed"], row["source"]) == (place, 0, "words.jsonl")
            assert row["logprob_p"] is None
            assert row["logprob_q"] is None
            kept = np.array(ids[:LIMIT], "<u4").tobytes()
            digest = hashlib.blake2b(kept, digest_size=8, person=b"faithful split").digest()
            assert (digest[0] < 32) == (split == "test")
            seen.add(row["doc_id"])
    assert len(seen) == sum(read_manifest(corpus).rows(split) for split in SPLITS)


def test_the_order_is_not_that_of_the_source(corpus: Path) -> None:
    numbers = [int(row["doc_id"].split(":")[1]) for row in rows_of(corpus, "train")]
    ascending = sum(first < second for first, second in pairwise(numbers)) / (len(numbers) - 1)
    assert 0.35 < ascending < 0.65
    windows_of = [number // WINDOW for number in numbers]
    assert windows_of == sorted(windows_of)


def test_a_lone_file_gives_documents_from_all_over_it(
    wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corpus much smaller than its source, whole and grown; the card says how the file was read."""
    monkeypatch.setattr(parts, "PART_BYTES", 2000)
    path = write_texts(tmp_path / "long.jsonl", some_texts(6000))
    small = replace(wish, name=str(path), tokens=2000, held_out=200, out=tmp_path / "long")
    card = (add(small).folder / "README.md").read_text()
    places = [int(row["doc_id"].split(":")[1]) for row in rows_of(tmp_path / "long", "train")]
    assert len(places) < 300
    assert min(places) < 1000
    assert max(places) > 5000
    assert "The source's files are read as parts of 2,000 bytes cut at line borders, up to 16 of them in turn" in card
    assert add(replace(small, tokens=9000)).changed
    direct = add(replace(small, tokens=9000, out=tmp_path / "direct" / "long")).folder
    assert contents(tmp_path / "long") == contents(direct)
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    whole = add(replace(small, name=str(packed), out=tmp_path / "packed")).folder
    assert max(int(row["doc_id"].split(":")[1]) for row in rows_of(whole, "train")) < 400
    assert "holds the first texts of each file it comes to" in (whole / "README.md").read_text()


def test_another_seed_gives_another_order(corpus: Path, wish: AddConfig, tmp_path: Path) -> None:
    other = add(replace(wish, seed=4, out=tmp_path / "words")).folder
    first, second = ([row["doc_id"] for row in rows_of(folder, "train")][:20] for folder in (corpus, other))
    assert first != second


def test_equal_documents_fall_on_one_side(wish: AddConfig, tmp_path: Path) -> None:
    """Texts that are equal, and texts that share no more than what is kept of them."""
    long = [f"{number} " + " ".join(WORDS[number : number + 40]) for number in range(40)]
    texts = [f"{beginning} {number}" for number in range(4) for beginning in long] + some_texts(200)
    path = write_texts(tmp_path / "shared.jsonl", texts)
    whole = replace(wish, name=str(path), tokens=None, held_out=None, out=tmp_path / "shared")
    folder = add(whole).folder
    sides = {split: {tuple(row["token_ids"]) for row in rows_of(folder, split)} for split in SPLITS}
    assert not sides["train"] & sides["test"]
    assert min(map(len, sides.values())) > 10
    cut = {split: {ids for ids in sides[split] if len(ids) == LIMIT} for split in SPLITS}
    assert min(map(len, cut.values())) > 1


def texts_of_sides(folder: Path) -> dict[str, set[str]]:
    """Which texts (files, novels, rows) have passages in each split."""
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        ids = [row["doc_id"].split("#")[0] for row in rows_of(folder, split)]
        found[split] = {name.rsplit(":", 1)[0] if ".txt" in name else name for name in ids}
    return found


def long_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of many paragraphs, every fourth equal to another."""
    texts = ["\n\n".join(some_texts(12, 1000 * seed + place)) for place in range(count)]
    return [texts[place - 1] if place % 4 == 3 else text for place, text in enumerate(texts)]


def text_folder(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for place, text in enumerate(texts):
        (folder / f"{place:02d}.txt").write_text(text)
    return folder


@pytest.mark.parametrize("kind", ["files", "rows", "cut files"])
def test_all_passages_of_a_text_fall_on_one_side(
    wish: AddConfig, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text files (read whole and in parts from all over them) and rows of any other file; equal texts as one."""
    texts = long_texts(40)
    if kind == "cut files":
        monkeypatch.setattr(parts, "PART_BYTES", 300)
        texts = texts[:9]
    path = write_texts(tmp_path / "t.jsonl", texts) if kind == "rows" else text_folder(tmp_path / "t", texts)
    out = tmp_path / "out"
    add(replace(wish, name=str(path), tokens=None, held_out=None, out=out, unit="passage", window=16))
    assert (read_manifest(out).identity["source"].get("parts") is not None) == (kind == "cut files")
    sides = texts_of_sides(out)
    assert not sides["train"] & sides["test"]
    assert len(sides["train"]) > 3 * len(sides["test"]) > 0
    content = {f"{place:02d}.txt" if kind != "rows" else f"t.jsonl:{place}": text for place, text in enumerate(texts)}
    assert not {content[name] for name in sides["train"]} & {content[name] for name in sides["test"]}
    assert sum(map(len, sides.values())) == len(texts)
    card = (out / "README.md").read_text()
    assert "All passages of a text fall on one side" in card and "equal documents fall on one side" not in card


@pytest.mark.parametrize("name", ["stdlib", "prose"])
def test_the_embedded_texts_are_split_by_file_and_novel(tmp_path: Path, name: str) -> None:
    folder = add(AddConfig(name, tokens=60_000, held_out=5_000, out=tmp_path / name)).folder
    sides = texts_of_sides(folder)
    assert not sides["train"] & sides["test"]
    assert sides["test"] <= set(read_manifest(folder).identity["source"]["held_out"])
    if name == "prose":
        assert sides["test"] == {"Northanger Abbey", "Persuasion"} and len(sides["train"]) == 4


@pytest.mark.parametrize("kind", ["files", "rows"])
def test_passages_grown_equal_passages_made_at_once(wish: AddConfig, tmp_path: Path, kind: str) -> None:
    texts = long_texts(60)
    path = write_texts(tmp_path / "t.jsonl", texts) if kind == "rows" else text_folder(tmp_path / "t", texts)
    asked = replace(wish, name=str(path), unit="passage", window=50)
    for tokens, held_out in ((500, 60), (501, 200), (2500, 200), (TOKENS, HELD_OUT)):
        add(replace(asked, tokens=tokens, held_out=held_out, out=tmp_path / "grown" / "t"))
    add(replace(asked, out=tmp_path / "direct" / "t"))
    assert contents(tmp_path / "grown" / "t") == contents(tmp_path / "direct" / "t")
    other = add(replace(asked, seed=9, out=tmp_path / "other" / "t")).folder
    here, there = texts_of_sides(tmp_path / "direct" / "t"), texts_of_sides(other)
    assert not here["train"] & there["test"] and not here["test"] & there["train"], "sides do not depend on the seed"


@pytest.mark.parametrize("texts", [["one\n\ntwo " * 40], ["the same text " * 40] * 3, ["all there is " * 40, ""]])
def test_a_single_text_is_refused_since_nothing_of_it_can_be_held_out(
    wish: AddConfig, tmp_path: Path, texts: list[str]
) -> None:
    path = text_folder(tmp_path / "t", texts)
    asked = replace(wish, name=str(path if len(texts) > 1 else path / "00.txt"), out=tmp_path / "out")
    for look in (add, plan_add):
        with pytest.raises(
            FaithfulError, match=r"is a single text, .* nothing of it could be held out\. Give a folder"
        ):
            look(asked)
    assert not (tmp_path / "out").exists()
    (path / "other.txt").write_text("but not this one " * 30)
    assert add(replace(asked, name=str(path), tokens=None, held_out=None)).manifest.rows("test")


def test_rows_none_of_which_is_held_out_are_refused(wish: AddConfig, tmp_path: Path) -> None:
    lone = [text for text in long_texts(30) if side_of_text(text, "", ()) == "train"][:3]
    path = write_texts(tmp_path / "few.jsonl", lone)
    with pytest.raises(FaithfulError, match="and nothing to hold out: all passages of a text fall on one side"):
        add(replace(wish, name=str(path), tokens=None, held_out=None, unit="passage", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


AWKWARD = [
    "a",
    "a <|endoftext|> b<|endoftext|>",
    "<s></s><bos><eos><|end_of_text|> x",
    "wörter — 日本語 and 🙂 " * 40,
    "unbroken" * 400,
    "one two three " * 3000,
    " " * 5000 + "end",
    "tab\tand\nline\n\n" * 500,
    TEXT,
]


def test_special_strings_in_a_source_stay_text(wish: AddConfig, tmp_path: Path, family_folder: Folder) -> None:
    texts = [f"{number} {number} <|begin_of_text|>x<|end_of_text|>" for number in range(60)]
    path = write_texts(tmp_path / "trap.jsonl", texts)
    out = tmp_path / "trap"
    add(AddConfig(str(path), model=str(family_folder("llama")), tokens=900, out=out, context=64))
    rows = [row for split in SPLITS for row in rows_of(out, split)]
    manifest = read_manifest(out)
    special = {manifest.identity["model"]["bos_id"], *manifest.identity["model"]["eos_ids"]}
    assert all(not special & set(row["token_ids"][:-1]) and row["token_ids"][-1] == 2 for row in rows)
    assert {row["text"] for row in rows} <= set(texts)


def test_a_model_without_end_of_text_gets_documents_without(source: Path, tmp_path: Path) -> None:
    model = build_without_bos(tmp_path / "model")
    with pytest.raises(FaithfulError, match="--bos"):
        add(AddConfig(str(source), model=str(model), out=tmp_path / "out"))
    for unit in ("document", "passage"):
        out = tmp_path / unit
        add(AddConfig(str(source), model=str(model), bos=5, tokens=2000, out=out, context=CONTEXT, unit=unit))
        rows = rows_of(out, "train")
        assert {row["finish_reason"] for row in rows} == {"length"}
        assert min(row["n_tokens"] for row in rows) < LIMIT
        assert "none" in (out / "README.md").read_text()


# The stream


# Growing, stopping, mending


def test_grown_equals_direct_and_fewer_is_a_no_op(corpus: Path, wish: AddConfig, tmp_path: Path) -> None:
    out = tmp_path / "words"
    for tokens, held_out in ((700, 90), (701, 300), (2500, 300), (TOKENS, HELD_OUT)):
        grown = add(replace(wish, tokens=tokens, held_out=held_out, out=out))
        assert grown.changed
    assert contents(out) == contents(corpus)
    before = times(out)
    fewer = add(replace(wish, tokens=100, held_out=None, out=out))
    assert "more than the 100 asked for: nothing to do" in fewer.note
    assert not fewer.changed
    assert times(out) == before


def test_the_same_wish_does_nothing_and_says_so(corpus: Path, wish: AddConfig) -> None:
    before = times(corpus)
    for again in (wish, AddConfig(wish.name, out=wish.out), replace(wish, unit="document")):
        assert "nothing to do" in add(again).note
    assert times(corpus) == before


class Stopped(BaseException):
    """Stands for a kill."""


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
    """Let the n-th commit stop just before, or just after, the manifest names the new shard."""
    write, calls = shards.write_manifest, 0

    def stopping(folder: Path, manifest: Manifest) -> None:
        nonlocal calls
        calls += 1
        if after:
            write(folder, manifest)
        if calls == number:
            raise Stopped
        if not after:
            write(folder, manifest)

    monkeypatch.setattr(shards, "write_manifest", stopping)


@pytest.mark.parametrize("after", [False, True])
def test_stopped_at_commits_and_gone_on_with(
    corpus: Path, wish: AddConfig, tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, stops = tmp_path / "words", 0
    for number in (1, 2, 3, 1, 5, 2, 100):
        with monkeypatch.context() as patch:
            stop_at(patch, number, after=after)
            try:
                add(replace(wish, out=out))
                break
            except Stopped:
                stops += 1
    assert stops >= 4
    assert contents(out) == contents(corpus)


def test_stopped_while_growing(corpus: Path, wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, after in ((1, False), (1, True), (3, False)):
        out = tmp_path / f"{number}-{after}" / "words"
        add(replace(wish, tokens=1500, held_out=200, out=out))
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_at(patch, number, after=after)
            add(replace(wish, out=out))
        add(replace(wish, out=out))
        assert contents(out) == contents(corpus)


KILLER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path

left, rename = int(sys.argv[1]), Path.replace

def killing(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.replace = killing
from generation.external.add import add
from generation.configs.add import AddConfig
add(AddConfig(**eval(sys.argv[2]), out=Path(sys.argv[3])))
"""


def test_killed_and_gone_on_with(corpus: Path, wish: AddConfig, tmp_path: Path) -> None:
    """The real signal, in a process of its own, when a shard is to be renamed."""
    script, out = tmp_path / "killer.py", tmp_path / "words"
    script.write_text(KILLER)
    names = ("name", "model", "tokens", "held_out", "context", "window", "shard_rows", "seed")
    stated = repr({name: getattr(wish, name) for name in names})
    arguments = [sys.executable, str(script), "8", stated, str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert 0 < read_manifest(out).rows("train") < read_manifest(corpus).rows("train")
    assert list(out.rglob("*.tmp"))
    add(replace(wish, out=out))
    assert contents(out) == contents(corpus)
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("damage", ["missing", "edited", "first"])
def test_damaged_shards_are_made_again(corpus: Path, wish: AddConfig, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "words"
    shutil.copytree(corpus, out)
    victim = out / ("data/part-00000.parquet" if damage == "first" else "data/part-00002.parquet")
    victim.unlink() if damage == "missing" else victim.write_bytes(victim.read_bytes()[:-9])
    assert add(replace(wish, tokens=100, held_out=None, out=out)).changed
    assert contents(out) == contents(corpus)


# What is refused, and what is said


def test_a_changed_source_is_refused_before_growing(wish: AddConfig, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "words.jsonl", some_texts(200))
    out = tmp_path / "words"
    add(replace(wish, name=str(path), tokens=600, held_out=100, out=out))
    before = contents(out)
    write_texts(path, some_texts(200, 1))
    with pytest.raises(FaithfulError, match=r"source.files"):
        add(replace(wish, name=str(path), tokens=900, held_out=100, out=out))
    assert contents(out) == before


def test_other_folders_are_left_alone(corpus: Path, wish: AddConfig, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("keep me")
    with pytest.raises(FaithfulError, match="is not empty and holds no corpus"):
        add(replace(wish, out=tmp_path / "letters"))
    derived = shuffle(ShuffleConfig(corpus, out=tmp_path / "derived")).folder
    with pytest.raises(FaithfulError, match="is no corpus added from a source"):
        add(replace(wish, out=derived))
    with pytest.raises(FaithfulError, match="is a corpus already"):
        add(replace(wish, name=str(corpus), out=tmp_path / "again"))


def test_what_a_killed_run_did_not_close_is_closed_by_the_next(
    corpus: Path, wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between the last shard and the manifest that closes the corpus."""
    out, write, calls = tmp_path / "words", add_module.write_manifest, []

    def stopping(folder: Path, manifest: Manifest) -> None:
        calls.append(folder)
        if len(calls) == 2:
            raise Stopped
        write(folder, manifest)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(add_module, "write_manifest", stopping)
        add(replace(wish, out=out))
    assert read_manifest(out).shards == read_manifest(corpus).shards
    add(replace(wish, tokens=None, held_out=None, out=out))
    assert contents(out) == contents(corpus)
    manifest = read_manifest(out)
    del manifest.provenance["exhausted"]
    write(out, manifest)
    assert "nothing to do" in add(replace(wish, tokens=None, held_out=None, out=out)).note


def test_two_at_once_do_not_mix_their_sources(
    corpus: Path, wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes the corpus after this one has looked, before it takes the lock."""
    path = write_texts(tmp_path / "other.jsonl", some_texts(400, 9))
    out, look = tmp_path / "words", add_module.prepare

    def late(config: AddConfig) -> Any:
        found = look(config)
        with monkeypatch.context() as patch:
            patch.setattr(add_module, "prepare", look)
            add(replace(wish, out=out))
        return found

    monkeypatch.setattr(add_module, "prepare", late)
    with pytest.raises(FaithfulError, match=r"was made otherwise.*source\.files"):
        add(replace(wish, name=str(path), out=out, tokens=2 * TOKENS))
    assert contents(out) == contents(corpus)
    shutil.rmtree(out)
    same = add(replace(wish, out=out))
    assert not same.changed
    assert "nothing to do" in same.note
    assert contents(out) == contents(corpus)


@pytest.mark.parametrize("stop", [2, 5])
def test_a_source_that_is_too_small_leaves_the_same_however_often_it_is_stopped(
    wish: AddConfig, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped_at(number: int, tokens: int, out: Path) -> None:
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_at(patch, number, after=True)
            add(replace(wish, tokens=tokens, held_out=100, out=out))
        assert read_manifest(out).rows() > 0

    new, grown, direct = (tmp_path / name / "words" for name in ("new", "grown", "direct"))
    stopped_at(stop, 900_000, new)
    with pytest.raises(FaithfulError, match="Nothing was written"):
        add(replace(wish, tokens=900_000, held_out=100, out=new))
    assert not (new / "corpus.json").exists()
    for out in (grown, direct):
        add(replace(wish, tokens=600, held_out=100, out=out))
    stopped_at(stop, 900_000, grown)
    for out in (grown, direct):
        with pytest.raises(FaithfulError, match=r"holds the .* training tokens that words gives"):
            add(replace(wish, tokens=900_000, held_out=100, out=out))
    assert contents(grown) == contents(direct)


BAD = {
    "too small": (
        "",
        [],
        ["--tokens", "1M"],
        "training tokens for tiny-gpt2, fewer than the 1,000,000 asked for; ask for",
    ),
    "empty": ("", None, [], "holds no rows"),
    "all empty": ("", ["", " \n", ""], [], "gives no documents: all its texts are left out (3 empty)"),
    "one text": ("", ["held out"], [], "all of them fall into the held-out split"),
    "context": ("", [], ["--context", "129"], "--context 129 does not fit: tiny-gpt2 has a context of 128 tokens"),
    "context 0": ("", [], ["--context", "0"], "--context 0 does not fit"),
    "context 1": ("", [], ["--context", "1"], "--context 1 does not fit"),
    "column": ("", [], ["--column", "body"], "body"),
    "seed": ("", [], ["--seed", "-1"], "--seed must not be negative"),
    "shard rows": ("", [], ["--shard-rows", "0"], "--shard-rows must be at least 1"),
    "unit": ("", [], ["--unit", "line"], "'line' is not a unit"),
    "missing": ("nowhere.jsonl", [], [], "nowhere.jsonl"),
    "not utf-8": ("latin.txt", [], [], "latin.txt"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    case: str, source: Path, tmp_path: Path, family_folder: Folder
) -> None:
    name, texts, options, said = BAD[case]
    path = tmp_path / (name or "texts.jsonl")
    if case == "one text":
        texts = [next(text for text in map(str, range(100)) if side_of(text, family_folder("gpt2")) == "test")]
    if not name:
        write_texts(path, texts or []) if texts or texts is None else path.write_bytes(source.read_bytes())
    elif case == "not utf-8":
        path.write_bytes("naïve café\n".encode("latin-1") * 50)
    out = tmp_path / "out"
    done = command([str(path), "--for", str(family_folder("gpt2")), "--out", str(out), *options])
    assert done.exit_code == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_fault_in_the_middle_leaves_nothing(wish: AddConfig, tmp_path: Path) -> None:
    path = write_texts(tmp_path / "cut.jsonl", some_texts(300))
    path.write_bytes(path.read_bytes()[:-20])
    out = tmp_path / "out"
    with pytest.raises(FaithfulError, match=r"Line 300 of .*cut\.jsonl"):
        add(replace(wish, name=str(path), tokens=100_000, out=out))
    assert not out.exists()
    out.mkdir()
    with pytest.raises(FaithfulError, match="Line 300"):
        add(replace(wish, name=str(path), tokens=100_000, out=out))
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_without_a_budget_a_small_source_is_taken_whole(wish: AddConfig, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "words"
    whole = replace(wish, tokens=None, held_out=None, out=out)
    result = add(whole)
    assert "That is all that words gives" in result.note
    assert sum(result.manifest.rows(split) for split in SPLITS) == len(source.read_text().splitlines())
    before = times(out)
    assert "all that words gives: nothing to do" in add(whole).note
    tokens = result.manifest.tokens()
    assert not add(replace(whole, tokens=tokens)).changed
    with pytest.raises(FaithfulError, match=f"holds the {tokens:,} training tokens that words gives"):
        add(replace(whole, tokens=tokens + 1))
    assert times(out) == before
    assert str(tokens) in (out / "README.md").read_text().split("faithful corpus add")[1].split("\n```")[0]


def test_growing_past_the_end_keeps_all_there_is_and_says_so(wish: AddConfig, tmp_path: Path) -> None:
    out, whole = tmp_path / "words", tmp_path / "whole"
    add(replace(wish, tokens=600, held_out=100, out=out))
    with pytest.raises(FaithfulError, match="fewer than the 900,000 asked for"):
        add(replace(wish, tokens=900_000, held_out=90_000, out=out))
    add(replace(wish, tokens=None, held_out=None, out=whole))
    here, there = contents(out), contents(whole)
    assert all(here[name] == there[name] for name in there if name.endswith("parquet"))
    assert read_manifest(out).statistics is not None


def test_a_short_held_out_split_is_said(wish: AddConfig, tmp_path: Path) -> None:
    """… and is complete: growing the other split does not look for more of it."""
    small = replace(wish, tokens=1500, held_out=90_000, out=tmp_path / "words")
    assert "words ended before the 90,000 held-out tokens wanted." in add(small).note
    assert "nothing to do" in add(small).note
    add(replace(small, tokens=TOKENS))
    direct = add(replace(small, tokens=TOKENS, out=tmp_path / "direct" / "words")).folder
    here, there = contents(small.out or direct), contents(direct)
    assert all(here[name] == there[name] for name in there if name.endswith("parquet"))
    assert read_manifest(small.out or direct).provenance["left_out"]["windows"] == 7


def test_a_broken_connection_keeps_what_is_stored(
    wish: AddConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources on the Hub are told by their kind: after a broken connection the next run goes on."""
    from generation.external import prepare as add_config

    resolve, options_of = add_config.resolve_source, []

    def resolve_as_hub(name: str, **options: Any) -> Any:
        options_of.append(options)
        return replace(resolve(name), repo="who/what", revision="f" * 40)

    monkeypatch.setattr(add_config, "resolve_source", resolve_as_hub)
    kind = add_config.external_identity

    def as_hub(*given: Any, **settings: Any) -> dict[str, Any]:
        identity = kind(*given, **settings)
        return identity | {"source": identity["source"] | {"kind": "hub"}}

    monkeypatch.setattr(add_config, "external_identity", as_hub)
    out = tmp_path / "words"

    class Breaking(Rows):
        def __iter__(self) -> Iterator[Row]:
            for number, row in enumerate(super().__iter__()):
                if number == 100:
                    raise fault
                yield row

    for fault in (FaithfulError("what.parquet cannot be read."), ValueError("of the library's")):
        with monkeypatch.context() as patch, pytest.raises(type(fault)):
            patch.setattr(taking, "Rows", Breaking)
            patch.setattr(windows_module, "ROWS", 8)
            add(replace(wish, out=out))
        assert not out.exists()
    fault = connection_lost("words", 5, TimeoutError())
    with monkeypatch.context() as patch, pytest.raises(FaithfulError, match="broke 5 times"):
        patch.setattr(taking, "Rows", Breaking)
        patch.setattr(windows_module, "ROWS", 8)
        add(replace(wish, out=out))
    assert read_manifest(out).rows("train") >= SHARD
    with pytest.raises(FaithfulError, match="fewer than"):
        add(replace(wish, tokens=900_000, out=tmp_path / "large"))
    assert not (tmp_path / "large").exists()
    monkeypatch.setattr(windows_module, "ROWS", 8)
    add(replace(wish, out=out))
    assert options_of[-1] == {"revision": "f" * 40, "samples": None}, "the revision it was made with, not the latest"
    add(replace(wish, out=tmp_path / "direct"))
    assert contents(out)["data/part-00003.parquet"] == contents(tmp_path / "direct")["data/part-00003.parquet"]


@pytest.mark.slow
def test_a_set_on_the_hub_becomes_a_corpus(tmp_path: Path, family_folder: Folder) -> None:
    """The command in a process of its own against a Hub on this machine; what is there needs no Hub any more."""
    hub = Hub()
    texts = some_texts(300)
    hub.files["open/words"] = {
        f"train-{file}.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts[file::3]).encode()
        for file in range(3)
    }
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name and name != "HF_TOKEN"}
    environment |= {"HF_HOME": str(tmp_path / "cache"), "HF_UPDATE_DOWNLOAD_COUNTS": "0", "NO_PROXY": "127.0.0.1"}
    line = (
        f"corpus add open/words --for {family_folder('gpt2')} --tokens 1000 --held-out 100 --out {tmp_path / 'words'}"
    )
    with serving(hub) as address:
        done = subprocess.run(
            [sys.executable, "-m", "faithful", *line.split()],
            env=environment | {"HF_ENDPOINT": address},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "words")
    assert manifest.identity["source"]["revision"] == SHA
    assert manifest.identity["source"]["repo"] == "open/words"
    assert manifest.provenance["source"]["licence"] == "odc-by"
    for split in SPLITS:
        for row in rows_of(tmp_path / "words", split):
            file, place = row["doc_id"].removeprefix("train-").split(".jsonl:")
            assert texts[int(file) :: 3][int(place)].startswith(row["text"])
    before = times(tmp_path / "words")
    assert "nothing to do" in command(line.split()[2:]).stderr
    assert times(tmp_path / "words") == before


# Noise


def test_noise_is_uniform_over_ordinary_ids(family: str, family_folder: Folder, tmp_path: Path) -> None:
    model = family_folder(family)
    config = AddConfig("noise", model=str(model), tokens=20_000, held_out=2_000, out=tmp_path / "noise", shard_rows=64)
    add(config)
    manifest = read_manifest(tmp_path / "noise")
    tokenizer = load_tokenizer(str(model), None)
    special = {*tokenizer.all_special_ids, *manifest.identity["model"]["eos_ids"]}
    special |= {token for token, content in tokenizer.added_tokens_decoder.items() if content.special}
    allowed = set(range(len(tokenizer))) - special
    counts = Counter(np.concatenate(list(Corpus(tmp_path / "noise").documents())).tolist())
    assert set(counts) <= allowed
    expected = manifest.tokens() / len(allowed)
    chi2 = sum((counts[token] - expected) ** 2 / expected for token in allowed)
    assert abs(chi2 - len(allowed) + 1) < 5 * np.sqrt(2 * len(allowed))
    rows = {split: rows_of(tmp_path / "noise", split) for split in SPLITS}
    assert {(row["n_tokens"], row["finish_reason"], row["seed"]) for row in rows["train"]} == {(127, "length", 0)}
    assert rows["train"][0]["token_ids"] != rows["test"][0]["token_ids"]


def test_noise_grows_and_does_not_depend_on_shards(tmp_path: Path, family_folder: Folder) -> None:
    wish = AddConfig("noise", model=str(family_folder("gpt2")), held_out=300, context=16, shard_rows=16)
    for tokens in (100, 2000):
        add(replace(wish, tokens=tokens, out=tmp_path / "grown"))
    add(replace(wish, tokens=2000, out=tmp_path / "direct"))
    assert (
        contents(tmp_path / "grown")["data/part-00001.parquet"]
        == contents(tmp_path / "direct")["data/part-00001.parquet"]
    )
    assert read_manifest(tmp_path / "grown").shards == read_manifest(tmp_path / "direct").shards


# Near-duplicates across the splits


def test_planted_near_duplicates_are_counted(wish: AddConfig, tmp_path: Path) -> None:
    texts = [" ".join(f"{number}-{place}" for place in range(9)) for number in range(200)]
    near = [text + ending for text in texts for ending in ("", "!")]
    sides = [side_of(text, Path(str(wish.model))) for text in near]
    expected = sum("test" in pair and "train" in pair for pair in zip(sides[::2], sides[1::2], strict=True))
    path = write_texts(tmp_path / "near.jsonl", near)
    result = add(replace(wish, name=str(path), tokens=None, held_out=None, context=128, out=tmp_path / "near"))
    across = (result.manifest.statistics or {})["across"]
    assert across == train_test_duplicates(Corpus(result.folder)) | {
        "shared_grams": shared_grams(Corpus(result.folder))
    }
    assert across["documents"] == {split: result.manifest.rows(split) for split in SPLITS}
    assert expected > 20
    assert across["near_duplicates"] == expected
    assert f"{expected} of {sides.count('test')} held-out documents" in (result.folder / "README.md").read_text()


@pytest.mark.parametrize("tokens", [2_000_000, 300])
def test_shared_runs_of_tokens_equal_the_plain_count(
    family_folder: Folder, tmp_path: Path, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across_module, "GRAM_TOKENS", tokens)
    draw = np.random.default_rng(2)
    train = [draw.integers(5, 200, length) for length in draw.integers(1, 60, 50)]
    test = [draw.integers(5, 200, length) for length in draw.integers(1, 60, 30)]
    for place in range(0, 30, 3):
        long = max(train, key=len)[place // 3 :][:14]
        test[place] = np.concatenate([test[place], long[: 12 + place // 3 % 3]])
    spec = resolve_model(str(family_folder("gpt2")))
    corpus = Corpus(write_external(tmp_path / "c", spec, {"train": train, "test": test}))
    known = {tuple(one[at : at + 13]) for one in train for at in range(len(one) - 12)}
    looked_at = test[: int(np.searchsorted(np.cumsum([len(one) for one in test]), tokens)) + 1]
    grams = [[tuple(one[at : at + 13]) in known for at in range(len(one) - 12)] for one in looked_at]
    flat = [hit for one in grams for hit in one]
    assert shared_grams(corpus) == {
        "grams": len(flat),
        "share": np.mean(flat),
        "documents": sum(bool(one) for one in grams),
        "sharing": sum(any(one) for one in grams),
        "tokens": sum(len(one) for one in looked_at),
    }
    assert 0 < sum(flat) < len(flat)


def test_the_share_of_held_out_runs_stands_in_manifest_statistics_and_card(wish: AddConfig, tmp_path: Path) -> None:
    shared = " ".join(WORDS[:40])
    texts = [f"{number} {number * 7} {shared}" for number in range(200)]
    path = write_texts(tmp_path / "shared.jsonl", texts)
    folder = add(replace(wish, name=str(path), tokens=None, held_out=None, context=64, out=tmp_path / "s")).folder
    found = (read_manifest(folder).statistics or {})["across"]["shared_grams"]
    assert found["share"] > 0.5
    assert found["sharing"] == found["documents"] == read_manifest(folder).rows("test")
    assert (
        f"{found['share']:.2%} of {found['grams']:,} runs of 13 held-out tokens" in (folder / "README.md").read_text()
    )
    rows = dict(statistics_rows(statistics_of(folder)))
    assert rows["held-out runs of 13 tokens that the training split holds"] == f"{found['share']:.2%}"


# Who reads it


def test_datasets_polars_and_pyarrow_read_it(corpus: Path, tmp_path: Path) -> None:
    import polars as pl
    import pyarrow.dataset as ds
    from datasets import load_dataset

    manifest = read_manifest(corpus)
    loaded: Any = load_dataset(str(corpus), cache_dir=str(tmp_path))
    for split, folder in SPLITS.items():
        ids = [document.tolist() for document in Corpus(corpus).documents(split)]
        assert loaded[split]["token_ids"][:] == ids
        assert pl.read_parquet(corpus / folder / "*.parquet")["token_ids"].to_list() == ids
        assert ds.dataset(corpus / folder).count_rows() == manifest.rows(split)


def test_a_card_that_is_gone_is_written_again(corpus: Path, wish: AddConfig, tmp_path: Path) -> None:
    out = tmp_path / "words"
    shutil.copytree(corpus, out)
    (out / "README.md").unlink()
    result = add(replace(wish, out=out))
    assert "its description was completed" in result.note
    assert contents(out) == contents(corpus)


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    corpus: Path, source: Path, tmp_path: Path, family_folder: Folder
) -> None:
    arguments = [str(source), "--for", str(family_folder("gpt2")), "--dry-run"]
    told = command([*arguments, "--tokens", "1k", "--out", str(tmp_path / "words")])
    assert told.exit_code == 0, told.stderr
    assert "Nothing was written" in told.stderr
    assert str(tmp_path / "words") in told.stdout.replace("\n", "")
    before = times(corpus)
    grown = command([*arguments, "--tokens", "9k", "--seed", "3", "--out", str(corpus), "--context", "32", "--json"])
    plan = json.loads(grown.stdout)
    assert plan["tokens"]["train"] == 9000
    assert plan["there"] == {split: read_manifest(corpus).tokens(split) for split in SPLITS}
    assert plan["identity"]["context"] == 32
    assert command([*arguments, "--column", "body", "--out", str(tmp_path / "words")]).exit_code == 2
    assert not list(tmp_path.iterdir())
    assert times(corpus) == before


def test_the_command_line_summary(source: Path, tmp_path: Path, family_folder: Folder) -> None:
    arguments = [str(source), "--for", str(family_folder("gpt2")), "--tokens", "1k", "--held-out", "200"]
    done = command([*arguments, "--out", str(tmp_path / "words")])
    assert done.exit_code == 0, done.stderr
    assert "holds 1,0" in done.stderr
    assert f"Next: faithful corpus stats {tmp_path / 'words'}" in done.stderr
    assert "compression ratio" in done.stdout
    assert os.environ.get("TOKENIZERS_PARALLELISM") == "false"
