"""The YAML at the head of a card, as people edit it: taken as it is meant, or refused with its file and line."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from faithful.base.errors import FaithfulError
from faithful.base.files import reason_of

FRONT = re.compile(r"\s*---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)", re.DOTALL | re.MULTILINE)
TEXT = "tag:yaml.org,2002:str"
NULL, MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


def read_card(path: Path) -> str:
    """Text of a card, with the line ends of Unix and without a mark of byte order.

    Raises:
        FaithfulError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise FaithfulError(f"Cannot read {path}: {reason_of(error)}; mend that, then run again.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise FaithfulError(f"{path}, line {line}: it is not UTF-8; save it as UTF-8.") from error


def split_card(card: str) -> tuple[str, str]:
    """The YAML between the --- lines, and what follows; blanks behind the dashes do not count."""
    match = FRONT.match(card)
    return (match[1], match[2]) if match else ("", card)


def mapping_of(front: str, where: str, *, exact: bool = False) -> Mapping[str, object]:
    """The metadata of a card.

    Args:
        front: the YAML between the --- lines.
        where: whose it is, for the error.
        exact: refuse what would be another value when it is written again, as `language: no`, which is false to some
            readers of YAML and a language to others.

    Raises:
        FaithfulError: no YAML, no table, a key that is no text or comes twice, or see `exact`; with its line.
    """
    try:
        aliases = [event for event in yaml.parse(front, Loader=yaml.SafeLoader) if isinstance(event, yaml.AliasEvent)]
        if aliases:
            line = aliases[0].start_mark.line
            raise _refusal(
                where, line, f"*{aliases[0].anchor} stands for something else", "write that out in its place"
            )
        node = yaml.compose(front, Loader=yaml.SafeLoader) if front.strip() else None
        found = yaml.safe_load(front) if node is not None else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # deep nesting, dates that are none
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise _refusal(
            where, mark.line if mark else 0, f"the metadata are no valid YAML ({problem})", "mend it"
        ) from error
    if node is None or found is None:
        return {}
    if not isinstance(node, yaml.MappingNode) or not isinstance(found, dict):
        raise _refusal(where, node.start_mark.line, "the metadata are no table of keys and values", "mend it")
    seen = set()
    for key, _ in node.value:
        if key.tag not in (TEXT, MERGE):
            raise _refusal(where, key.start_mark.line, f"the key {key.value} is no text", "put it in quotes")
        if key.value in seen:
            raise _refusal(where, key.start_mark.line, f"the key {key.value} is there twice", "keep one")
        seen.add(key.value)
    for scalar in _plain_scalars(node) if exact else ():
        if not _stays(scalar):
            raise _refusal(
                where, scalar.start_mark.line, f"YAML reads '{scalar.value}' as {_read_as(scalar)}", "put it in quotes"
            )
    return found


def _refusal(where: str, line: int, what: str, advice: str) -> FaithfulError:
    """An error of a line of the YAML; the card has one line more above it."""
    return FaithfulError(f"{where}, line {line + 2}: {what}; {advice}.")


def _plain_scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Values without quotes that YAML takes for something else than text."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and node.tag not in (TEXT, NULL, MERGE):
            yield node
    else:
        for part in node.value:
            for below in part if isinstance(part, tuple) else (part,):
                yield from _plain_scalars(below)


def _read_as(scalar: yaml.ScalarNode) -> str:
    value = yaml.safe_dump(yaml.safe_load(scalar.value), allow_unicode=True)
    return value.removesuffix("\n...\n").strip()


def _stays(scalar: yaml.ScalarNode) -> bool:
    """Whether a value is written again as it stands there."""
    written = _read_as(scalar)
    return written == scalar.value or (written in ("true", "false") and scalar.value.lower() == written)
