"""JSON files as rows: lines, one list, or one object that is a row or holds the rows under a key."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from faithful.base.errors import FaithfulError
from generation.files.local_files import builder_ending
from generation.files.parts import BOM
from generation.files.templates import CHATS

_TEXTS = ("text", "messages", *CHATS)


def json_rows(path: Path, content: BinaryIO) -> Iterator[Mapping[str, object]]:
    """The rows of a file.

    A file of one value is one list of objects or texts, or one object: that is a row, unless exactly one of its keys holds
    a list of objects and none a text or a chat; then the rows are that list. Every other file is JSON lines.

    Raises:
        FaithfulError: not JSON, values that stretch over lines, or an object whose rows cannot be told; says where.
    """
    head = _head(content)
    if not head or (_is_value(head[-1]) and not _begins_list(head[-1])):
        second = _head(content)
        if second or not head:
            yield from json_lines(path, chain(head, second, content), 1)
            return
    whole = _values(path, (b"".join(head).removeprefix(BOM) + content.read()).decode())
    if isinstance(whole, list):
        yield from _listed(path, "element", whole)
    elif isinstance(whole, dict) and builder_ending(path) == ".json":
        yield from _rows_under(path, whole)
    else:
        yield _object(path, "line 1", whole)


def json_lines(path: Path, lines: Iterable[bytes], first: int) -> Iterator[Mapping[str, object]]:
    """JSON lines from line `first` of a file on; blank ones are passed over.

    Raises:
        FaithfulError: a line is not UTF-8, not JSON, or no object; names it.
    """
    for number, line in enumerate(lines, first):
        line = line.removeprefix(BOM) if number == 1 else line
        if line.strip():
            yield _object(path, f"line {number}", _line(path, number, line))


def are_lines(content: BinaryIO) -> bool:
    """Whether a file can be entered at line borders: its first line is a whole value, and another line follows."""
    head = _head(content)
    return bool(head) and not _begins_list(head[-1]) and bool(_head(content)) and _is_value(head[-1])


def _head(content: BinaryIO) -> list[bytes]:
    """The lines up to the next that is not blank, none where there is none."""
    lines = []
    for line in content:
        lines.append(line)
        if line.removeprefix(BOM).strip():
            return lines
    return []


def _line(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line.decode().rstrip("\r\n"))
    except ValueError as error:
        is_text = not isinstance(error, UnicodeDecodeError)
        what = f"JSON ({error.msg}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else "UTF-8"
        opened = is_text and line.strip() in (b"{", b"[") and "; where its objects stretch over lines, write one a line"
        raise FaithfulError(
            f"Line {number} of {path} is not {what}: the file is damaged or cut off; mend or replace it{opened or ''}."
        ) from None


def _values(path: Path, text: str) -> Any:
    """The one value of a text.

    Raises:
        FaithfulError: it holds several values that stretch over lines, or is no JSON at all.
    """
    decoder, end, count, value = json.JSONDecoder(), 0, 0, None
    while text[end:].strip():
        begin = len(text) - len(text[end:].lstrip())
        try:
            value, end = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            raise FaithfulError(
                f"Line {error.lineno} of {path} is not JSON ({error.msg}, column {error.colno}): the file is damaged or cut"
                " off; mend or replace it."
            ) from None
        count += 1
        if count > 1:
            line = text.count("\n", 0, begin) + 1
            raise FaithfulError(
                f"{path} holds several JSON values that are not on a line each, the second from line {line} on; write one on"
                " each line, or all as one list."
            )
    return value


def _rows_under(path: Path, whole: dict[str, Any]) -> Iterator[Mapping[str, object]]:
    lists = [key for key, value in whole.items() if isinstance(value, list) and value]
    of_rows = [key for key in lists if all(isinstance(row, dict) for row in whole[key])]
    if any(key in whole for key in _TEXTS) and not isinstance(whole.get("text"), list | dict):
        yield whole
    elif len(of_rows) == 1:
        yield from _listed(path, f"{of_rows[0]}, element", whole[of_rows[0]])
    elif of_rows:
        raise FaithfulError(
            f"{path} is one object with lists of rows under {', '.join(of_rows)}; write the one that is meant into a file of"
            " its own, as a list or with one object on each line."
        )
    elif whole and all(isinstance(value, list | dict) for value in whole.values()):
        raise FaithfulError(
            f"{path} is one object of columns ({', '.join(whole)}) and not of rows; write its rows as a list or with one"
            " object on each line."
        )
    else:
        yield whole


def _listed(path: Path, place: str, values: list[Any]) -> Iterator[Mapping[str, object]]:
    return (_object(path, f"{place} {number}", value) for number, value in enumerate(values, 1))


def _object(path: Path, place: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise FaithfulError(f"{path}, {place}: a JSON object with named columns is needed, not {type(value).__name__}.")
    return value


def _begins_list(line: bytes) -> bool:
    """Whether a line begins a JSON list."""
    return line.removeprefix(BOM).lstrip().startswith(b"[")


def _is_value(line: bytes) -> bool:
    try:
        json.loads(line.removeprefix(BOM).decode())
    except ValueError:
        return False
    return True
