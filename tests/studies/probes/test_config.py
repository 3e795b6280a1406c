"""Settings that make no probe are refused by the check that recipes make before their work."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.probes.config import STUDY, ProbesConfig


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pooling": "median"}, "'median' is no pooling; choose mean, last, max"),
        ({"folds": 1}, "folds is at least 2"),
        ({"ks": (5, 0)}, "ks is at least 1"),
        ({"train_size": 2}, "train_size is at least 4"),
        ({"test_size": 1}, "test_size is at least 2"),
        ({"methods": ("ours", "theirs")}, "methods is ours, and beside it saebench, saebench-bos, not ours,theirs"),
        ({"methods": ("saebench",)}, "methods is ours, and beside it"),
        ({"methods": ("ours", "saebench"), "pooling": "max"}, "SAEBench pools by the mean"),
        ({"tasks": ("nonsense",)}, "'nonsense' is no task"),
        ({"tasks": ("novel", "novel")}, "Two tasks are called novel"),
    ],
)
def test_what_makes_no_probe_is_refused(changes: dict[str, Any], told: str) -> None:
    STUDY.check(ProbesConfig((), Path()))
    with pytest.raises(FaithfulError, match=told):
        STUDY.check(ProbesConfig((), Path(), **changes))
