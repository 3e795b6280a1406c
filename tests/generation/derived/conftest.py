"""The corpora that the tests of derived ones are made of."""

from tests.generation.derived.test_derive import corpora, maker

__all__ = ["corpora", "maker"]
