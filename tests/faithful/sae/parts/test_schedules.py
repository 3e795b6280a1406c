"""Schedules at their ends and in the middle."""

import pytest

from faithful.sae.parts.schedules import cosine, ramp


def test_they_begin_and_end_where_they_say() -> None:
    assert [cosine(done, 0.8) for done in (0.0, 0.4, 0.8, 1.0)] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert [ramp(done, 0.2) for done in (0.0, 0.1, 0.2, 0.9)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert (cosine(0.0, 0.0), ramp(0.0, 0.0)) == (0.0, 1.0)
