"""Settings of the SAEs that a folder holds already."""

from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.training.inherited import InheritedSettings

SHAPES = {(8, 2): [{"lr": 1e-3, "batch": 256}] * 2, (16, 2): [{"lr": 5e-4, "batch": 256}]}


def test_a_setting_is_taken_where_all_cells_agree() -> None:
    inherited = InheritedSettings(Path("saes"), SHAPES)
    assert inherited.value("batch") == 256
    assert inherited.value("lr", [(16, 2)]) == 5e-4
    with pytest.raises(FaithfulError, match=r"saes holds SAEs trained with lr 0.0005 and 0.001; choose with --lr"):
        inherited.value("lr")


def test_nothing_is_taken_from_an_empty_folder() -> None:
    assert InheritedSettings(Path("saes"), {(8, 2): []}).value("batch") is None
