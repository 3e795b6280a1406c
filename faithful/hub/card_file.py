"""One card: its metadata, the part between two markers that is generated, and what people wrote around it, which stays.

Cards are not read with huggingface_hub's `RepoCard`: it drops keys without a value, and takes a head whose dashes are
followed by blanks for text. It has the Hub check a card before anything is sent (see `faithful.hub.send`).
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from faithful.base.errors import FaithfulError
from faithful.hub.card_metadata import mapping_of, read_card, split_card
from faithful.hub.local_files import is_named, sendable

BEGIN, END = "<!-- faithful: begin", "<!-- faithful: end -->"
LAYOUT = ("configs", "size_categories")
FENCE = re.compile(r" {0,3}(`{3,}(?!.*`)|~{3,})")


@dataclass(frozen=True)
class CardParts:
    """A card taken apart.

    Attributes:
        front: the YAML between the --- lines, "" where there is none.
        before: text above the generated part.
        text: the generated part with its two markers, None where the card has none.
        after: text below it, the whole text where there is no generated part.
    """

    front: str
    before: str
    text: str | None
    after: str


def parse_card(card: str, where: str) -> CardParts:
    """Take a card apart.

    Args:
        card: text of README.md.
        where: whose it is, for the error.

    Raises:
        FaithfulError: it has one of the two markers without the other.
    """
    front, body = split_card(card)
    first, last = body.find(BEGIN), body.find(END, max(0, body.find(BEGIN)))
    if first < 0 and END not in body:
        return CardParts(front, "", None, body)
    if first < 0 or last < 0:
        raise FaithfulError(
            f"{where} lacks one of its two marker lines, `{BEGIN} … -->` and `{END}`; put it back around the generated part."
        )
    return CardParts(front, body[:first], body[first : last + len(END)], body[last + len(END) :])


def make_card(
    metadata: Mapping[str, object], text: str, existing: Path | None = None, root: Path | None = None, digest: str = ""
) -> str:
    """A card of metadata and generated text; what the card on disk has outside its markers, and its metadata, is kept.

    Args:
        metadata: the YAML.
        text: the generated part.
        existing: the card on disk, where there may be one.
        root: the folder that is published, by default the one that the card lies in.
        digest: of what the generated part was made from, for its first marker.

    Raises:
        FaithfulError: the card on disk is a link that leads out of the folder, lacks a marker, or has metadata that are no
            YAML or would not mean the same to every reader of YAML.
    """
    marker = " ".join(filter(None, (BEGIN, digest, "-->")))
    ours = f"---\n{_yaml(metadata)}---\n\n{marker}\n{text.strip()}\n{END}\n"
    if existing is None or not is_named(existing):
        return ours
    there = read_card(sendable(existing, root or existing.parent))
    return merge_cards(ours, there, where=str(existing), exact=True)


def merge_cards(
    ours: str,
    there: str | None,
    published: Mapping[str, object] | None = None,
    outside: str = "",
    *,
    where: str = "README.md on the Hub",
    exact: bool = False,
) -> str:
    """Our card, with what people changed in the one that is there.

    What stands between the two markers is replaced. Paragraphs outside are merged three ways: those that are new here are
    added, those that the last publication had and that are gone here are taken away, and what somebody wrote, changed or
    took away there stays so. So do metadata that somebody changed there since; the file layout is ours.

    Args:
        ours: the card as it would be where there is none.
        there: the card that is there, None where there is none.
        published: the metadata that the last publication had, None where there was none.
        outside: what the last publication had outside the markers, see `outside_of`.
        where: whose card is there, for the errors.
        exact: refuse metadata there that would not mean the same to every reader of YAML, also where they stay as they are.

    Raises:
        FaithfulError: one of the cards lacks a marker, or its metadata are no YAML.
    """
    if there is None:
        return ours
    mine, theirs = parse_card(ours, "README.md here"), parse_card(there, where)
    if mine.text is None:
        return there
    metadata = mapping_of(theirs.front, where, exact=exact)
    merged = merge_metadata(metadata, mapping_of(mine.front, "README.md here"), published)
    header = theirs.front
    if merged != metadata:
        mapping_of(theirs.front, where, exact=True)
        header = _yaml(merged)
    before, after = theirs.before, theirs.after
    if theirs.text is None:
        before, after = "\n", f"\n\n{after.strip()}\n" if after.strip() else "\n"
    here, beside = ([*_paragraphs(card.before), *_paragraphs(card.after)] for card in (mine, theirs))
    known = _paragraphs(outside)
    if (above := _merged(before, mine.before, here, beside, known)) is not None:
        before = "\n" + "".join(f"{part}\n\n" for part in above)
    if (below := _merged(after, mine.after, here, beside, known)) is not None:
        after = "\n" + "".join(f"\n{part}\n" for part in below)
    return f"---\n{header}---\n{before}{mine.text}{after}"


def merge_metadata(
    theirs: Mapping[str, object], ours: Mapping[str, object], published: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Metadata that are there with ours: what somebody set or took away since the last publication stays so.

    The file layout is ours, and tags are joined; tags that are neither text nor a list stay, for the Hub to refuse.
    """
    before = published or {}

    def is_unchanged(key: str) -> bool:
        return key in before and key in theirs and _plain(theirs[key]) == before[key]

    merged = {key: value for key, value in theirs.items() if key in ours or not is_unchanged(key)}
    for key, value in ours.items():
        if key in LAYOUT or is_unchanged(key) or key not in theirs.keys() | before.keys():
            merged[key] = value
    if "tags" in ours and isinstance(theirs.get("tags"), list | str | None):
        there = _listed(theirs.get("tags"))
        known = [*there, *_listed(before.get("tags"))]
        merged["tags"] = there + [tag for tag in _listed(ours["tags"]) if tag not in known]
    return merged


def outside_of(card: str) -> str:
    """What a card has outside its markers."""
    parts = parse_card(card, "README.md")
    return "\n\n".join(text.strip() for text in (parts.before, parts.after) if text.strip())


def metadata_of(card: str) -> dict[str, object]:
    """A card's metadata as JSON has them: keys, dates and the like as text.

    Raises:
        FaithfulError: they are no valid YAML.
    """
    found: dict[str, object] = _plain(mapping_of(split_card(card)[0], "README.md"))
    return found


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(map(cell, row))} |" for row in lines)


def cell(text: str) -> str:
    """Markdown for a cell of a table: what would end it is escaped."""
    return text.replace("|", "\\|").replace("\n", " ")


def _listed(tags: Any) -> list[Any]:
    """Tags as a list, whatever form a person gave them."""
    return tags if isinstance(tags, list) else [] if tags is None else [tags]


def _paragraphs(text: str) -> list[str]:
    """What stands between blank lines; a block of code is one, whatever is in it."""
    found: list[str] = []
    block: list[str] = []
    fence = ""
    for line in [*text.splitlines(), ""]:
        bar = line.strip()
        if fence:
            fence = "" if bar.startswith(fence) and not bar.strip(fence[0]) else fence
        elif match := FENCE.match(line):
            fence = match[1]
        if bar or fence:
            block.append(line)
        elif block:
            found.append("\n".join(block))
            block = []
    return [*found, "\n".join(block)] if block else found


def _merged(
    theirs: str, ours: str, here: Collection[str], there: Collection[str], known: Collection[str]
) -> list[str] | None:
    """Paragraphs of one side of the generated part, merged three ways; None where theirs stay as they are.

    Args:
        theirs, ours: the text on the Hub and here.
        here, there: all paragraphs outside the generated part, of ours and of theirs.
        known: what the last publication had.
    """
    before, mine = _paragraphs(theirs), _paragraphs(ours)
    merged = [part for part in before if part in here or part not in known]
    for place, part in enumerate(mine):
        if part not in known and part not in there:
            above = (merged.index(one) + 1 for one in reversed(mine[:place]) if one in merged)
            merged.insert(next(above, 0), part)
    return None if merged == before else merged


def _plain(value: Any) -> Any:
    """A value of YAML as JSON gives it back: keys, dates and the like as text."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if value is None or is_number or isinstance(value, str) else str(value)


def _yaml(metadata: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)
