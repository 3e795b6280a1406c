"""Hashes that files on disk are named by and hold: they never change."""

from types import SimpleNamespace

import pytest

from faithful.base.digest import digest
from faithful.base.records import seal_of
from faithful.models.tokenizer import tokenizer_hash

VALUE = {"b": [1, 2.5, None, True, 1e-7], "a": {"d": "é\ud800", "c": []}}


def test_hashes_stay_what_they_were() -> None:
    """Of identities, of records' seals and of tokenizers, as version 0.1 wrote them."""
    assert digest(VALUE) == "098fd21e048fab4496fe644165e9d87ba4f0d905b8dadbf73afae53802431fb1"
    assert seal_of(VALUE) == "1f7088ce4a45057994a2cc992629d647da846032a9990888a0bf3df9fcead65f"
    tokenizer = SimpleNamespace(get_vocab=lambda: {"b": 1, "Ġé": 0})
    assert tokenizer_hash(tokenizer) == "195bc4aa09d9e7315444294aea5c225286fdf010ceb7947b1030a8c48d42b9cd"


def test_the_order_of_keys_is_nothing_and_that_of_a_list_is() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1}) != digest({"a": 1, "b": [3, 2]})


def test_bytes_are_hashed_after_the_value() -> None:
    assert digest([1], b"ab") == digest([1], b"a", b"b") not in (digest([1]), digest([1], b"ba"))


def test_seals_refuse_numbers_that_are_not_finite() -> None:
    assert digest([float("nan")]) == digest([float("nan")])
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal_of([float("nan")])
