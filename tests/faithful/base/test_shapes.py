"""Shapes that values are held against."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from faithful.base.shapes import Between, Count, Matches, Misfit, Positive, Sha256, check


@dataclass(frozen=True)
class Closed:
    name: str
    size: Positive
    share: Annotated[float, Between(0, 1)] = 0.5


class Open(TypedDict, total=False):
    kind: Literal["own", "external"]
    parts: list[Closed]
    counts: dict[str, Count]
    ends: tuple[float, float]
    maybe: Closed | None
    either: int | str


WHOLE: dict[str, Any] = {
    "kind": "own", "parts": [{"name": "a", "size": 1}], "counts": {"x": 0}, "ends": [0, 1.5], "maybe": None, "either": "x",
    "more": [1, {"a": None}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "other"}, "`kind` is 'other', and 'own' or 'external' is meant"),
        ({"parts": [{"name": "a", "size": 0}]}, r"`parts\[0\]\.size` is 0, and a whole number of at least 1 is meant"),
        ({"parts": [{"name": "a", "size": True}]}, r"`parts\[0\]\.size` is True"),
        ({"parts": [{"name": "a"}]}, r"`parts\[0\]\.size` is missing"),
        ({"parts": [{"name": "a", "size": 1, "colour": 2}]}, r"`parts\[0\]\.colour` is not known"),
        ({"parts": [{"name": "a", "size": 1, "share": 1.5}]}, "from 0 to 1"),
        ({"parts": {}}, "`parts` is an object, and a list is meant"),
        ({"counts": {"x": -1}}, r"`counts\.x` is -1"),
        ({"counts": {"x": 2**63}}, r"`counts\.x`"),
        ({"ends": [1]}, "a list of 2"),
        ({"ends": [1, "2"]}, r"`ends\[1\]` is '2'"),
        ({"maybe": {"name": 3, "size": 1}}, r"`maybe\.name` is 3, and text is meant"),
        ({"either": 1.5}, "a whole number or text"),
    ],
)
def test_what_does_not_fit_is_named_by_its_key(change: dict[str, Any], said: str) -> None:
    check(WHOLE, Open)
    with pytest.raises(Misfit, match=said):
        check(WHOLE | change, Open)


def test_keys_and_texts_have_patterns() -> None:
    check({"7": "a" * 64}, dict[Annotated[str, Matches(r"\d+", "a length")], Sha256])
    for odd in ({"x": "a" * 64}, {"7": "A" * 64}, {"7": "a" * 63}):
        with pytest.raises(Misfit):
            check(odd, dict[Annotated[str, Matches(r"\d+", "a length")], Sha256])


class Some(TypedDict):
    value: float
    seeds: NotRequired[int]


def test_a_key_that_may_be_missing_is_checked_where_it_is_there() -> None:
    check({"value": 1.0}, Some)
    check({"value": 1.0, "seeds": 3}, Some)
    with pytest.raises(Misfit, match="`seeds` is 'many'"):
        check({"value": 1.0, "seeds": "many"}, Some)
