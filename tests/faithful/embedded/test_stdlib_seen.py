"""Passages that tiny was trained on."""

import json
from importlib import resources

from faithful.embedded.stdlib_seen import passage_hash, seen_passages
from tests.faithful.embedded.documents import documents


def test_passages_that_tiny_was_trained_on_are_left_out() -> None:
    """The figures are those that training wrote down, by another program."""
    training = json.loads((resources.files("faithful.embedded") / "tiny" / "training.json").read_text())["data"][
        "held_out"
    ]
    read = documents("stdlib")
    assert read[-1].dropped == {"also in the training text of tiny": training["dropped_also_in_training"]}
    assert sum(len(window.units) for window in read) == training["passages"]
    assert sum(len(unit.token_ids) for window in read for unit in window.units) == training["tokens"]
    assert documents("prose")[-1].dropped == {}
    assert passage_hash("a  b\n") == passage_hash("a b")
    assert 100 < len(seen_passages()) <= training["dropped_also_in_training"]
