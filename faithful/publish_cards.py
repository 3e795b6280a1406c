"""Cards on the Hub: a corpus' own card with its new address, and what people wrote there kept."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from faithful.corpus import Corpus
from faithful.errors import FaithfulError

BEGIN, END = "<!-- faithful: begin", "<!-- faithful: end -->"
LAYOUT = ("configs", "dataset_info", "size_categories")


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

    What stands between the two markers is replaced. Text outside stays; a paragraph of ours outside is added where it is
    missing, unless the last publication had it: then somebody changed it there. Metadata that somebody changed on the Hub
    since the last publication stays; the file layout is ours.

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
    metadata = _mapping(theirs.front)
    merged = _merge_metadata(_mapping(mine.front), metadata, published)
    before, after = theirs.before, theirs.after
    if theirs.text is None:
        before, after = "\n", "\n\n" + theirs.after.strip() + "\n"
    known = f"{before}\n\n{after}\n\n{outside}"
    before = _with_missing(before, mine.before, known)
    after = _with_missing(after, mine.after, known)
    header = theirs.front if merged == metadata else _yaml(merged)
    return f"---\n{header}---\n{before}{mine.text}{after}"


def outside_of(card: str) -> str:
    """What a card has outside its markers."""
    parts = parse_card(card, "README.md")
    return "\n\n".join(text.strip() for text in (parts.before, parts.after) if text.strip())


def wrapped(metadata: dict[str, Any], text: str, existing: Path | None = None, digest: str = "") -> str:
    """A card of metadata and generated text; what a card on disk has outside its markers, and its metadata, is kept.

    Args:
        metadata: the YAML.
        text: the generated part.
        existing: the card on disk, where there may be one.
        digest: of what the generated part was made from, for its first marker.

    Raises:
        FaithfulError: the card on disk lacks a marker, or its metadata are no YAML.
    """
    from generation.card import merge_metadata

    old = parse_card(existing.read_text(encoding="utf-8") if existing and existing.is_file() else "", str(existing))
    found = _mapping(old.front)
    tags = found.get("tags")
    odd = {"tags": tags} if not isinstance(tags, str | list | None) else {}
    merged = merge_metadata({key: value for key, value in found.items() if key not in odd}, metadata) | odd
    header = old.front if merged == found else _yaml(merged)
    before, after = (f"{part.strip()}\n\n" if part.strip() else "" for part in (old.before, old.after))
    rest = f"\n{after.rstrip()}\n" if after else ""
    return (
        f"---\n{header}---\n\n{before}{' '.join(filter(None, (BEGIN, digest, '-->')))}\n{text.strip()}\n{END}\n{rest}"
    )


def corpus_card(corpus: Corpus, name: str, config: str | None = None, section: str = "") -> str:
    """The card of a corpus as it reads on the Hub; nothing on disk is changed.

    Args:
        corpus: the corpus; what people wrote into its README.md is kept.
        name: `USER/REPO`.
        config: name of its config where the repository holds several corpora, which is also its folder there.
        section: Markdown to add at the end of the generated part.

    Raises:
        FaithfulError: its README.md lacks a marker, or has metadata that are no YAML.
    """
    from generation.card import digest, metadata, render

    shown = _Elsewhere(corpus, f"address-{uuid4().hex}")
    place = f"{name}/{config}" if config else name
    loaded = f'"{name}", "{config}"' if config else f'"{name}"'
    out = shlex.quote(corpus.name)
    fetch = f"faithful corpus add {name}" + (f" --config {shlex.quote(config)}" if config else "") + f" --out {out}"
    export = f"faithful corpus export {out} --context"
    text = render(shown)
    for here, there in (
        (f'"{shown.name}/', f'"hf://datasets/{place}/'),
        (f'"{shown.name}"', loaded),
        (f"`faithful corpus export {shown.name} --context", f"`{fetch}`, then `{export}"),
        (f"faithful corpus export {shown.name} --context", f"{fetch}\n{export}"),
    ):
        text = text.replace(here, there)
    text = "\n\n".join(filter(None, (text.strip(), section.strip())))
    return wrapped(metadata(shown), text, corpus.folder / "README.md", digest(corpus.manifest))


class _Elsewhere(Corpus):
    """A corpus that goes by another name, so that the places where a card names it are known."""

    def __init__(self, corpus: Corpus, name: str) -> None:
        self.folder, self.manifest, self._name = corpus.folder.resolve(), corpus.manifest, name

    @property
    def name(self) -> str:
        return self._name


def metadata_of(card: str) -> dict[str, Any]:
    """A card's metadata.

    Raises:
        FaithfulError: it is no valid YAML.
    """
    return _mapping(split_card(card)[0])


def split_card(card: str) -> tuple[str, str]:
    """The YAML between the --- lines, and what follows."""
    match = re.match(r"---\n(.*?\n)---\n?(.*)", card, re.DOTALL)
    return (match[1], match[2]) if match else ("", card)


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines
    )


def _merge_metadata(ours: dict[str, Any], theirs: dict[str, Any], published: dict[str, Any] | None) -> dict[str, Any]:
    """Ours where nobody changed it on the Hub, theirs where somebody did."""
    before = published or {}
    merged = dict(theirs)
    for key, value in ours.items():
        is_ours = key in LAYOUT or key not in theirs or (published is not None and theirs[key] == before.get(key))
        merged[key] = value if is_ours else theirs[key]
    for key in before:
        if key not in ours and merged.get(key) == before[key]:
            merged.pop(key, None)
        if key in ours and key not in theirs and key not in LAYOUT:
            merged.pop(key)
    if "tags" in ours:
        taken_away = set(_listed(before.get("tags"))) - set(_listed(theirs.get("tags")))
        mine = [tag for tag in _listed(ours["tags"]) if tag not in taken_away]
        merged["tags"] = list(dict.fromkeys([*_listed(theirs.get("tags")), *mine]))
    return merged


def _listed(tags: Any) -> list[Any]:
    """Tags as a list, whatever form a person gave them."""
    return tags if isinstance(tags, list) else [] if tags is None else [tags]


def _with_missing(text: str, mine: str, there: str) -> str:
    """Text with the paragraphs of ours that are nowhere in it."""
    missing = [part.strip() for part in re.split(r"\n{2,}", mine) if part.strip() and part.strip() not in there]
    return text + "".join(f"\n{part}\n" for part in missing)


def _yaml(metadata: dict[str, Any]) -> str:
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _mapping(front: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(front) if front else {}
    except yaml.YAMLError as error:
        raise FaithfulError(
            "The card's metadata (between the --- lines of README.md) is no valid YAML; mend it."
        ) from error
    return found if isinstance(found, dict) else {}
