"""The lazy face of the package: every public name is where it is said to be."""

from pathlib import Path

import pytest

import faithful
from tests.faithful.cli.test_there_and_back import COMMANDS


@pytest.mark.parametrize("name", faithful.__all__)
def test_a_public_name_is_found(name: str) -> None:
    assert getattr(faithful, name).__name__.rpartition(".")[2] == name


def test_no_name_is_public_in_one_list_alone() -> None:
    assert set(faithful.__all__) == set(faithful._HOMES)
    assert set(dir(faithful)) == {*faithful.__all__, "__version__"}


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing the room would put it in the function's place."""
    rooms = {path.name for path in Path(faithful.__file__).parent.iterdir()}
    assert not set(faithful.__all__) & {room.removesuffix(".py") for room in rooms}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_a_public_function_with_its_configuration(path: str) -> None:
    home, _, name = path.rpartition(".")
    assert faithful._HOMES[name] == home
    if name != "statistics_of":  # which is told a folder alone
        assert {type(config).__name__ for config in COMMANDS[path]} <= set(faithful.__all__)
