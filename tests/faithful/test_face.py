"""The lazy face of the package: every public name is where it is said to be."""

import pytest

import faithful


@pytest.mark.parametrize("name", faithful.__all__)
def test_a_public_name_is_found(name: str) -> None:
    assert getattr(faithful, name).__name__.rpartition(".")[2] == name


def test_no_name_is_public_in_one_list_alone() -> None:
    assert set(faithful.__all__) == set(faithful._HOMES)
    assert set(dir(faithful)) == {*faithful.__all__, "__version__"}
