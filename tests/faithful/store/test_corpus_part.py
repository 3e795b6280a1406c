"""A part of a corpus is no corpus, and names its own shards alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part
from faithful.base.records import write_record
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus, read_manifest, shard_path, write_manifest
from faithful.store.corpus_part import PartManifest, read_part
from generation.sampling.distribution import Sampling
from tests.own import write_own


@pytest.fixture(scope="module")
def made_own(tmp_path_factory: pytest.TempPathFactory, family_model: Callable[[str], tuple[ModelSpec, Any]]) -> Path:
    spec, model = family_model("gpt2")
    return write_own(
        tmp_path_factory.mktemp("m") / "own", spec, model, Sampling(max_tokens=7), {"train": 40, "test": 9}
    )


def write_part(folder: Path, own: Path) -> PartManifest:
    """Part 1/2 of a corpus that is there: its shard 1, as if it were whole."""
    whole = read_manifest(own)
    shard = whole.shards["train"][0]
    rows = whole.identity["engine"]["shard_rows"] = shard.rows
    taken = [type(shard)(shard_path("train", 1), rows, *list(vars(shard).values())[2:])]
    part = PartManifest(**vars(whole) | {"shards": {"train": taken, "test": []}}, part="1/2")
    folder.mkdir()
    write_manifest(folder, part)
    return part


def test_a_part_is_read_as_it_was_written_and_is_no_corpus(made_own: Path, tmp_path: Path) -> None:
    part = write_part(tmp_path / "part", made_own)
    assert read_part(tmp_path / "part") == part
    assert part.place == Part(1, 2) and part.numbers("train") == [1] and part.numbers("test") == []
    with pytest.raises(FaithfulError, match="faithful corpus join"):
        Corpus(tmp_path / "part")
    with pytest.raises(FaithfulError, match="no part of a corpus"):
        read_part(made_own)


@pytest.mark.parametrize("part", ["0/2", "1/3/4", 7])
def test_shards_of_another_part_are_refused(made_own: Path, tmp_path: Path, part: object) -> None:
    write_part(tmp_path / "part", made_own)
    path = tmp_path / "part" / "part.json"
    write_record(path, json.loads(path.read_text()) | {"part": part})
    with pytest.raises(FaithfulError):
        read_part(tmp_path / "part")
