"""Figures of latents are read as they were left."""

from pathlib import Path

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.statistics.latents import LATENTS, read_latents, write_latents


def test_figures_of_latents_are_read_as_they_were_left(tmp_path: Path) -> None:
    path = tmp_path / LATENTS
    assert read_latents(path) == {}
    write_latents(
        path, {"a": {"x": np.array([0.5, np.nan]), "y": np.array([1, 2])}, "b": {"x": np.ones(1), "y": np.ones(1)}}
    )
    found = read_latents(path)
    assert list(found) == ["a", "b"] and list(found["a"]) == ["x", "y"]
    np.testing.assert_array_equal(found["a"]["x"], [0.5, np.nan])
    path.write_bytes(b"no table")
    with pytest.raises(FaithfulError, match="run the study again"):
        read_latents(path)
