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
