"""What is kept of latents that reappear, and read again."""

from pathlib import Path

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.statistics.stable import REAPPEARANCE, read_stable, share_of_stable, write_reappearance


def test_stable_are_those_of_more_than_half_of_the_other_seeds(tmp_path: Path) -> None:
    assert read_stable(tmp_path) == {}
    write_reappearance(tmp_path, {"a": np.array([0.0, 0.5, 0.6, 1.0]), "b": np.array([1.0])})
    found = read_stable(tmp_path)
    assert found["a"].tolist() == [False, False, True, True] and found["b"].tolist() == [True]
    assert share_of_stable(np.array([5.0, 1.0, 1.0, 1.0]), found["a"]) == 0.25
    assert share_of_stable(np.zeros(4), found["a"]) is None
    (tmp_path / REAPPEARANCE).write_bytes(b"no table")
    with pytest.raises(FaithfulError, match="run the study again"):
        read_stable(tmp_path)
