"""Values of TOML and of `--set` as fields."""

from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.options.fields import options_of
from faithful.options.values import read_values
from tests.faithful.options.toy import ToyOfSettings


def read(**table: Any) -> dict[str, Any]:
    return read_values(options_of(ToyOfSettings), table, "toy")


def test_texts_and_values_of_toml_are_the_same() -> None:
    typed = read(depth="1k", shades="a, b", heat="2", sure="true", home="x", parts="0-2,7")
    assert typed == {
        "depth": 1000, "shades": ("a", "b"), "heat": 2.0, "sure": True, "home": Path("x"), "parts": (0, 1, 2, 7),
    }  # fmt: skip
    assert read(depth=1000, shades=["a", "b"], heat=2, sure=True, home="x", parts=[0, "1", 2, 7]) == typed
    assert read(parts=5, depth="0", shades="none") == {"parts": (5,), "depth": 0, "shades": ()}
    assert read(depth=0, wide=3) == {"depth": 0, "wide": 3}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"depht": 1}, "toy states 'depht', which is not known; choose among depth, .*Did you mean depth"),
        ({"depth": 1.5}, "toy.depth cannot be 1.5; give a whole number"),
        ({"depth": True}, "toy.depth cannot be True; give a whole number"),
        ({"depth": "deep"}, "'deep' is not a positive whole number"),
        ({"depth": -5}, "'-5' is not a positive whole number"),
        ({"wide": 0}, "'0' is not a positive whole number"),
        ({"wide": "0"}, "'0' is not a positive whole number"),
        ({"heat": "hot"}, "toy.heat cannot be 'hot'; give a number"),
        ({"heat": [1]}, "toy.heat cannot be .*; give a number"),
        ({"sure": "yes"}, "toy.sure cannot be 'yes'; give true or false"),
        ({"home": 3}, "toy.home cannot be 3; give a path"),
        ({"parts": [[1]]}, "toy.parts cannot be .*; give a list, each a whole number"),
        ({"parts": "a"}, 'is no list of whole numbers; write toy.parts = "0-5" or'),
    ],
)
def test_refusals(table: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        read(**table)
