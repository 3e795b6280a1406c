"""What a study of absorption refuses before it begins."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.absorption.config import STUDY, AbsorptionConfig


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"without_letters": True}, "nothing to measure"),
        ({"folds": 1}, "at least 2 folds"),
        ({"examples": -1}, "0 examples or more"),
        ({"labels": (Path("none.csv"),)}, "There is no file none.csv"),
    ],
)
def test_what_cannot_be_measured_is_refused(stated: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=message):
        STUDY.check(AbsorptionConfig((), tmp_path, **stated))


@pytest.mark.parametrize("names", [("letters.csv",), ("one.csv", "one.csv"), ("a/one.csv", "b/one.jsonl")])
@pytest.mark.parametrize("without_letters", [True, False])
def test_two_tasks_of_one_name_are_refused(names: tuple[str, ...], without_letters: bool, tmp_path: Path) -> None:
    paths = tuple(tmp_path / name for name in names)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with pytest.raises(FaithfulError, match=f"Two tasks are called {paths[0].stem}"):
        STUDY.check(AbsorptionConfig((), tmp_path, labels=paths, without_letters=without_letters))
