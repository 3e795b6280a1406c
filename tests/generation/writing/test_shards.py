"""Documents written as shards: a grown split equals one made at once, and stops at its target."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Corpus, Document, Manifest, read_manifest
from generation.writing.identity import tokenizer_identity
from generation.writing.shards import CorpusWriter, decode

Write = Callable[..., bool]


def document(index: int) -> Document:
    """Three to five tokens."""
    return Document(index, 0, [5 + (index + place) % 90 for place in range(3 + index % 3)], "length")


@pytest.fixture
def write(tmp_path: Path, family_model: Callable[[str], tuple[ModelSpec, Any]]) -> Write:
    spec, _ = family_model("gpt2")
    tokenizer = load_tokenizer(spec.source, spec.hub_revision())

    def write(name: str, train: int | None, stop: int = 60, notes: list[int] | None = None) -> bool:
        """Write up to `stop` documents; whether anything was written."""
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        there = (folder / "corpus.json").exists()
        made = Manifest(name, "external", {"model": tokenizer_identity(spec)}, {}, {"train": 0, "test": 0})
        manifest = read_manifest(folder) if there else made
        seen = None if notes is None else lambda manifest: notes.append(len(manifest.shards["train"]))
        writer = CorpusWriter(folder, manifest, spec, tokenizer, {"train": train, "test": 0}, 4, seen)
        while writer.wants("train") and writer.next_row("train") < stop:
            writer.add("train", document(writer.next_row("train")))
        return writer.finish()

    return write


def shards(folder: Path) -> list[tuple[str, int, int, str]]:
    return [(one.file, one.rows, one.tokens, one.sha256) for one in read_manifest(folder).shards["train"]]


def test_a_split_ends_with_the_document_that_reaches_its_target(write: Write, tmp_path: Path) -> None:
    notes: list[int] = []
    assert write("own", 30, notes=notes) and not write("own", 30) and not write("own", 20)
    found = shards(tmp_path / "own")
    assert [rows for _, rows, _, _ in found] == [4, 4] and notes == [1, 2]
    assert 30 <= sum(tokens for *_, tokens, _ in found) < 35
    rows = [row.tolist() for row in Corpus(tmp_path / "own").documents()]
    assert rows == [document(index).token_ids for index in range(8)]


def test_a_grown_split_equals_one_made_at_once_wherever_it_stopped(write: Write, tmp_path: Path) -> None:
    for step, tokens in enumerate((10, 25, 26, 70)):
        write("grown", tokens)
        if step == 1:
            (tmp_path / "grown" / shards(tmp_path / "grown")[0][0]).write_bytes(b"damaged")
    write("direct", 70)
    write("everything", None, stop=18)
    assert shards(tmp_path / "grown") == shards(tmp_path / "direct")
    assert sum(rows for _, rows, _, _ in shards(tmp_path / "everything")) == 18


def test_ids_without_a_string_are_left_out_of_the_text(family_model: Callable[[str], tuple[ModelSpec, Any]]) -> None:
    spec = replace(family_model("gpt2")[0])
    tokenizer = load_tokenizer(spec.source, spec.hub_revision())
    ids = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    assert decode(tokenizer, [[*ids, spec.vocab_size + 7], []], spec.mapped) == ["the cat", ""]
