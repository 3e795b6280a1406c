"""Readings of corpora that are kept: told again for the same shards read in the same way, and for no others."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from faithful.store.readings import Readings
from tests.own import write_external

HOW = {"what": "plan", "context": 12}


@pytest.fixture
def corpus(tmp_path: Path, family_model: Callable[[str], tuple[ModelSpec, Any]]) -> tuple[Corpus, ModelSpec]:
    spec, _ = family_model("llama")
    texts = [np.arange(10, 40)] * 20
    return Corpus(write_external(tmp_path / "corpus", spec, {"train": texts, "test": texts[:2]})), spec


def test_a_reading_is_kept_beside_the_saes(corpus: tuple[Corpus, ModelSpec], tmp_path: Path) -> None:
    opened, spec = corpus
    out = tmp_path / "saes"
    readings = Readings(out)
    assert readings.of(opened, "train", spec, HOW, lambda: [1, 2, 3]) == [1, 2, 3]
    assert readings.of(opened, "train", spec, HOW, lambda: pytest.fail("it was read before")) == [1, 2, 3]
    assert not out.exists()
    other = Readings(out)
    other.of(opened, "train", spec, HOW | {"what": "prefix"}, lambda: "a" * 64)
    readings.keep()
    other.keep()
    again = Readings(out)
    assert again.of(opened, "train", spec, HOW, lambda: pytest.fail("it is kept")) == [1, 2, 3]
    assert again.of(opened, "train", spec, HOW | {"what": "prefix"}, lambda: pytest.fail("it is kept")) == "a" * 64
    before = again.path.read_bytes()
    again.keep()
    assert again.path.read_bytes() == before


def test_what_decides_a_reading_is_its_key(corpus: tuple[Corpus, ModelSpec], tmp_path: Path) -> None:
    opened, spec = corpus
    readings = Readings(tmp_path / "saes")
    longer = Corpus(write_external(tmp_path / "longer", spec, {"train": [np.arange(10, 41)] * 20, "test": []}))
    asked = [
        (opened, "train", spec, HOW),
        (opened, "test", spec, HOW),
        (longer, "train", spec, HOW),
        (opened, "train", replace(spec, bos_id=7), HOW),
        (opened, "train", replace(spec, revision="other"), HOW),
        (opened, "train", spec, HOW | {"context": 13}),
    ]
    for place, (one, split, model, how) in enumerate(asked):
        assert readings.of(one, split, model, how, lambda place=place: [place]) == [place]  # type: ignore[misc]


def test_an_edited_file_is_named(corpus: tuple[Corpus, ModelSpec], tmp_path: Path) -> None:
    readings = Readings(tmp_path / "saes")
    readings.of(*corpus[:1], "train", corpus[1], HOW, lambda: [1, 2, 3])
    readings.keep()
    values = json.loads(readings.path.read_text())
    readings.path.write_text(json.dumps(values | {"b" * 64: [9]}))
    with pytest.raises(
        FaithfulError, match=r"readings\.json was edited or damaged.* delete it and run what made it again"
    ):
        Readings(tmp_path / "saes")
