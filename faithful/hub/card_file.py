"""Cards on the Hub: a corpus' own card with its new address, and what people wrote there kept."""

import math
import re
from collections.abc import Collection, Sequence
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
            f"{where} lacks one of its two marker lines, `{BEGIN} -->` and `{END}`; put it back around the generated part."
        )
    return CardParts(front, body[:first], body[first : last + len(END)], body[last + len(END) :])


def merge_cards(ours: str, there: str | None, published: dict[str, Any] | None, outside: str = "") -> str:
    """Our card, with what people changed on the Hub.

    What stands between the two markers is replaced. Paragraphs outside are merged three ways: those that are new here are
    added, those that the last publication had and that are gone here are taken away, and what somebody wrote, changed or
    took away on the Hub stays so. So do metadata that somebody changed there since; the file layout is ours.

    Args:
        ours: the card as it would be in an empty repository.
        there: the card on the Hub, None where there is none.
        published: the metadata that the last publication had, None where there was none.
        outside: what the last publication had outside the markers, see `outside_of`.

    Raises:
        FaithfulError: one of the cards lacks a marker, or its metadata are no YAML.
    """
    if there is None:
        return ours
    mine, theirs = parse_card(ours, "README.md here"), parse_card(there, "README.md on the Hub")
    if mine.text is None:
        return there
    metadata = mapping_of(theirs.front, "README.md on the Hub")
    merged = _merge_metadata(mapping_of(mine.front, "README.md here"), metadata, published)
    if merged != metadata:
        mapping_of(theirs.front, "README.md on the Hub", exact=True)
    before, after = theirs.before, theirs.after
    if theirs.text is None:
        before, after = "\n", f"\n\n{theirs.after.strip()}\n"
    here, beside = ([*_paragraphs(card.before), *_paragraphs(card.after)] for card in (mine, theirs))
    known = _paragraphs(outside)
    if (above := _merged(before, mine.before, here, beside, known)) is not None:
        before = "\n" + "".join(f"{part}\n\n" for part in above)
    if (below := _merged(after, mine.after, here, beside, known)) is not None:
        after = "\n" + "".join(f"\n{part}\n" for part in below)
    header = theirs.front if merged == metadata else _yaml(merged)
    return f"---\n{header}---\n{before}{mine.text}{after}"


def outside_of(card: str) -> str:
    """What a card has outside its markers."""
    parts = parse_card(card, "README.md")
    return "\n\n".join(text.strip() for text in (parts.before, parts.after) if text.strip())


def wrapped(
    metadata: dict[str, Any], text: str, existing: Path | None = None, root: Path | None = None, digest: str = ""
) -> str:
    """A card of metadata and generated text; what a card on disk has outside its markers, and its metadata, is kept.

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

    card = ""
    if existing and is_named(existing):
        card = read_card(sendable(existing, root or existing.parent))
    old = parse_card(card, str(existing))
    found = mapping_of(old.front, str(existing), exact=True)
    tags = found.get("tags")
    odd = {"tags": tags} if not isinstance(tags, str | list | None) else {}
    merged = merge_metadata({key: value for key, value in found.items() if key not in odd}, metadata) | odd
    header = old.front if merged == found else _yaml(merged)
    before, after = (f"{part.strip()}\n\n" if part.strip() else "" for part in (old.before, old.after))
    rest = f"\n{after.rstrip()}\n" if after else ""
    return (
        f"---\n{header}---\n\n{before}{' '.join(filter(None, (BEGIN, digest, '-->')))}\n{text.strip()}\n{END}\n{rest}"
    )


def metadata_of(card: str) -> dict[str, Any]:
    """A card's metadata as JSON has them: keys, dates and the like as text.

    Raises:
        FaithfulError: they are no valid YAML.
    """
    found: dict[str, Any] = _plain(mapping_of(split_card(card)[0], "README.md"))
    return found


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def _merge_metadata(ours: dict[str, Any], theirs: dict[str, Any], published: dict[str, Any] | None) -> dict[str, Any]:
    """Ours where nobody changed it on the Hub, theirs where somebody did."""
    before = published or {}

    def unchanged(key: str) -> bool:
        return key in before and key in theirs and _plain(theirs[key]) == before[key]

    merged = {key: value for key, value in theirs.items() if key in ours or not unchanged(key)}
    for key, value in ours.items():
        is_new = key not in theirs and key not in before
        if key in LAYOUT or is_new or unchanged(key):
            merged[key] = value
    if "tags" in ours:
        there = _listed(theirs.get("tags"))
        taken_away = [tag for tag in _listed(before.get("tags")) if tag not in there]
        merged["tags"] = there + [tag for tag in _listed(ours["tags"]) if tag not in there + taken_away]
    return merged


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


def _yaml(metadata: dict[str, Any]) -> str:
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


OURS = ("configs", "size_categories")


def merge_metadata(existing: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Existing metadata with ours: file layout and size are ours, tags are joined, everything a person set is kept."""
    merged = existing | {key: value for key, value in new.items() if key not in existing or key in OURS}
    tags = existing.get("tags")
    there = tags if isinstance(tags, list) else [] if tags is None else [tags]
    merged["tags"] = there + [tag for tag in new["tags"] if tag not in there]
    return merged
