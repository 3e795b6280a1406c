"""The configuration that makes a corpus again."""

from pathlib import Path
from typing import Any

import pytest

from faithful.store.corpus import Manifest
from generation.cards.made_by import made_by, parameters
from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
from generation.writing.shards import SHARD_ROWS


def derived(operation: str, inputs: list[str], **stated: Any) -> Manifest:
    derivation = {"operation": operation, "inputs": [{"name": name} for name in inputs]} | stated
    return Manifest("new", "derived", {"derivation": derivation}, {}, {"train": 0, "test": 0})


@pytest.mark.parametrize(
    ("manifest", "config"),
    [
        (
            derived("mix", ["a", "b"], weights=[0.5, 2.0], tokens=None),
            MixConfig((Path("a"), Path("b")), (0.5, 2.0), out=Path("new")),
        ),
        (derived("shuffle", ["a"], seed=3), ShuffleConfig(Path("a"), 3, Path("new"))),
        (derived("dedup", ["a"], near=False), DedupConfig(Path("a"), out=Path("new"))),
        (derived("dedup", ["a"], near=True), DedupConfig(Path("a"), True, Path("new"))),
        (
            derived("subsample", ["a"], tokens=5, like={"name": "b"}, seed=0),
            SubsampleConfig(Path("a"), 5, Path("b"), out=Path("new")),
        ),
    ],
    ids=lambda value: value.identity["derivation"]["operation"] if isinstance(value, Manifest) else "",
)
def test_a_derivation_is_told_its_inputs_by_name(manifest: Manifest, config: Any) -> None:
    assert made_by(manifest) == config


def test_parameters_that_say_nothing_are_left_out() -> None:
    assert parameters({"operation": "x", "inputs": [], "near": False, "tokens": None, "like": {"name": "b"}}) == {
        "like": "b"
    }


def test_a_derivation_is_told_the_shards_that_it_was_given() -> None:
    manifest = derived("shuffle", ["a"], seed=3)
    manifest.identity["shard_rows"] = 100
    assert made_by(manifest) == ShuffleConfig(Path("a"), 3, Path("new"), shard_rows=100)
    manifest.identity["shard_rows"] = SHARD_ROWS
    assert made_by(manifest) == ShuffleConfig(Path("a"), 3, Path("new"))
