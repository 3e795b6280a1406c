"""A Hub to publish runs to, as the tests of publishing have it."""

from tests.faithful.hub.conftest import corpus, hub, made, pauses

__all__ = ["corpus", "hub", "made", "pauses"]
