"""Edits of records as no program makes them: other types, odd numbers, missing and doubled keys, depth, flipped bits."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

DEEP = "[" * 5000 + "]" * 5000
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 7, 3.5, -2.0, 10**30, "", "x", "\x00", "../../../evil", "\x1b[31m[bold]", [], {}, [None],
    {"a": 1}, "³", [[[]]],
)  # fmt: skip
RAW = ("NaN", "-Infinity", "1e999", DEEP, "1" * 5000, '"\\ud800"', "tru")
MARK = "@@here@@"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Path of every value in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def mutate(values: dict[str, Any], draw: random.Random) -> tuple[str, dict[str, Any] | None]:
    """A record's text with one edit, and its values where they are JSON still."""
    found = copy.deepcopy(values)
    path = draw.choice(list(places(found)))
    parent = found
    for name in path[:-1]:
        parent = parent[name]
    before = parent[path[-1]]
    kind = draw.choice(("odd", "odd", "raw", "drop", "number", "unknown", "twice"))
    if kind == "drop":
        del parent[path[-1]]
    elif kind == "number" and isinstance(before, int | float) and not isinstance(before, bool):
        parent[path[-1]] = before + draw.choice((1, -1, 0.5, 1000))
    elif kind == "unknown" and isinstance(parent, dict):
        parent["unheard_of"] = draw.choice(ODD)
    elif kind in ("raw", "twice"):
        parent[path[-1]] = MARK
        text = json.dumps(found)
        if kind == "raw":
            return text.replace(f'"{MARK}"', draw.choice(RAW), 1), None
        return text.replace(f'"{MARK}"', f"{json.dumps(before)}, {json.dumps(str(path[-1]))}: 1", 1), None
    else:
        parent[path[-1]] = draw.choice(ODD)
    return json.dumps(found), found


def flip(content: bytes, draw: random.Random) -> bytes:
    """A file with one bit flipped, or cut off."""
    place = draw.randrange(len(content))
    if draw.random() < 0.2:
        return content[:place]
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
