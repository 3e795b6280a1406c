"""Marks of fields."""

from dataclasses import dataclass
from typing import Annotated

from faithful.options.fields import options_of
from faithful.options.kinds import KINDS
from faithful.options.marks import ARGUMENT, COUNT, Count, names, panel


@dataclass(frozen=True)
class Marked:
    """Several marks on one field."""

    size: Annotated[Count | None, panel("Sizes"), names("--big", "-b")] = None
    rest: Annotated[tuple[str, ...], ARGUMENT] = ()


def test_several_marks_say_what_each_says() -> None:
    size, rest = options_of(Marked)
    assert (size.names, size.panel, size.kind) == (("--big", "-b"), "Sizes", KINDS[COUNT])
    assert (rest.names, rest.panel, rest.required) == ((), None, False)
