"""Every type of a field, typed and read back."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.options.kinds import KINDS, Kind, as_place, integers, number
from faithful.options.marks import COUNT, COUNT_OR_NONE, NAMES, PLACE


def read_back(kind: Kind, value: Any) -> Any:
    parsed = [kind.parsed_as(text) for text in kind.write(value)]
    return kind.read(parsed if kind.repeats else parsed[0], "--it")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (int, -3), (float, 0.1 + 0.2), (float, 2.0), (float, 1e-05), (str, "a b"), (Path, Path("a b/c")), (Path, Path("-x")),
        (PLACE, "./a"), (PLACE, "demo"), (COUNT, 30_000), (COUNT_OR_NONE, 0), (COUNT_OR_NONE, 7), (NAMES, ("a", "b c")),
        (NAMES, ()), (tuple[int, ...], (0, 1, 2, 42)), (tuple[int, ...], (5, 4)), (tuple[float, ...], (0.123456789, 3.0)),
        (tuple[str, ...], ("a,b", "c")), (tuple[Path, ...], (Path("a"), Path("b c"))),
        (tuple[str | Path, ...], ("USER/REPO", "a")),
    ],
    ids=str,
)  # fmt: skip
def test_there_and_back(key: Any, value: Any) -> None:
    assert read_back(KINDS[key], value) == value


def test_a_path_is_typed_as_no_name_of_a_run() -> None:
    assert [KINDS[PLACE].write(Path(place)) for place in ("exp", "./exp", "runs/exp", "/exp")] == [
        ["./exp"],
        ["./exp"],
        ["runs/exp"],
        ["/exp"],
    ]
    assert as_place(Path("exp")) == "./exp"


def test_every_kind_but_the_flag_is_walked() -> None:
    mark = next(mark for mark in test_there_and_back.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {key for key, _ in mark.args[1]} == KINDS.keys() - {bool}


def test_short_forms() -> None:
    assert [number(value) for value in (1.0, 0.5, 1e-4, 1 / 3)] == ["1", "0.5", "0.0001", "0.3333333333333333"]
    assert [integers(values) for values in ((0, 1, 2, 3), (1, 2), (7, 8, 9, 3), ())] == ["0-3", "1,2", "7-9,3", ""]


@pytest.mark.parametrize(("key", "typed"), [(COUNT, "0"), (COUNT, "many"), (COUNT_OR_NONE, "-1"), (COUNT, "1.5")])
def test_what_is_no_count_is_a_sentence(key: str, typed: str) -> None:
    with pytest.raises(FaithfulError, match="is not a positive whole number"):
        KINDS[key].read(typed, "--tokens")


@pytest.mark.parametrize("typed", ["-1", "3-1", "a"])
def test_what_is_no_list_names_the_option(typed: str) -> None:
    with pytest.raises(FaithfulError, match="write --seeds 0-5"):
        KINDS[tuple[int, ...]].read([typed], "--seeds")
