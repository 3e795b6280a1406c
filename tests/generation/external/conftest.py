"""A source, and what is wished of it."""

from tests.generation.external.test_add import corpus, source, wish

__all__ = ["corpus", "source", "wish"]
