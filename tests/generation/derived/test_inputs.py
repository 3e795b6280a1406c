"""The corpora that another one is derived from: opened, told apart, refused where they do not go together."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, write_manifest
from generation.derived.inputs import (
    document_lengths,
    open_inputs,
    refuse_damage,
    said_of_unfinished,
    short_count,
    sibling,
)
from tests.own import write_external

Model = Callable[[str], tuple[ModelSpec, Any]]


@pytest.fixture
def prose(tmp_path: Path, family_model: Model) -> Path:
    documents = [np.arange(3, 3 + size) for size in (5, 1, 9)]
    return write_external(tmp_path / "prose", family_model("gpt2")[0], {"train": documents, "test": documents[:1]})


def test_two_of_one_name_are_numbered_and_one_text_twice_is_refused(
    prose: Path, tmp_path: Path, family_model: Model
) -> None:
    other = write_external(tmp_path / "x" / "prose", family_model("gpt2")[0], {"train": [np.arange(4)], "test": []})
    first, second = open_inputs((prose, other))
    assert (first.name, second.name) == ("prose", "prose#2")
    assert first.identity()["content_sha256"] != second.identity()["content_sha256"]
    copy = Path(shutil.copytree(prose, tmp_path / "copy"))
    with pytest.raises(FaithfulError, match="hold the same documents"):
        open_inputs((prose, copy))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tokenizer_sha256", "0" * 64, "another tokenizer"),
        ("bos_id", 7, "another start token"),
        ("eos_ids", [7], "other end-of-text ids"),
    ],
)
def test_corpora_of_other_tokens_are_refused(
    prose: Path, tmp_path: Path, family_model: Model, key: str, value: Any, said: str
) -> None:
    other = write_external(tmp_path / "other", family_model("gpt2")[0], {"train": [np.arange(4)], "test": []})
    manifest = read_manifest(other)
    manifest.identity["model"][key] = value
    write_manifest(other, manifest)
    with pytest.raises(FaithfulError, match=said):
        open_inputs((prose, other))


def test_lengths_damage_and_what_is_unfinished(prose: Path) -> None:
    corpus = Corpus(prose)
    assert document_lengths(corpus, "train").tolist() == [5, 1, 9]
    assert document_lengths(corpus, "test").tolist() == [5]
    refuse_damage(corpus)
    inputs = open_inputs((prose,))
    assert said_of_unfinished(inputs) == ""
    inputs[0].corpus.manifest.requested["train"] = 1000
    assert "prose has reached 15 of the 1,000 train tokens" in said_of_unfinished(inputs)
    (prose / corpus.manifest.shards["test"][0].file).unlink()
    with pytest.raises(FaithfulError, match="is missing or damaged"):
        refuse_damage(Corpus(prose))


@pytest.mark.parametrize(
    ("count", "short"), [(20_000, "20k"), (1_500_000, "1.5M"), (1_234_567, "1234567"), (7, "7"), (999, "999")]
)
def test_counts_in_names_are_exact(count: int, short: str) -> None:
    assert short_count(count) == short


def test_what_is_derived_goes_beside_its_input() -> None:
    assert sibling(Path("runs/a/own"), "new") == Path("runs/a/new")
    assert sibling(Path(), "new") == Path.cwd().parent / "new"


def test_what_is_known_of_an_input_names_how_its_model_was_quantised(prose: Path) -> None:
    (entry,) = open_inputs((prose,))
    assert entry.summary()["model"].keys() == {"name", "revision", "licence"}
    entry.corpus.manifest.provenance["model"]["load"] = "4bit"
    assert entry.summary()["model"]["load"] == "4bit"
