"""Cards on the Hub: a corpus' own card with its new address, and what people wrote there kept."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from faithful.errors import FaithfulError

BEGIN, END = "<!-- faithful: begin", "<!-- faithful: end -->"
LAYOUT = ("configs", "dataset_info", "size_categories")


def merge_cards(ours: str, there: str | None, published: dict[str, Any] | None) -> str:
    """Our card, with what people changed on the Hub.

    What stands between the two markers is replaced. Text outside stays, text of ours outside is added where it is missing.
    Metadata that somebody changed on the Hub since the last publication stays; the file layout and tags of ours are there.

    Args:
        ours: the card as it would be in an empty repository.
        there: the card on the Hub, None where there is none.
        published: the metadata that the last publication had, None where there was none.
    """
    if there is None:
        return ours
    front, body = split_card(ours)
    their_front, their_body = split_card(there)
    metadata, theirs = _mapping(front), _mapping(their_front)
    merged = _merge_metadata(metadata, theirs, published)
    text = body[body.index(BEGIN) : body.index(END) + len(END)]
    if BEGIN in their_body and END in their_body:
        before, after = their_body[: their_body.index(BEGIN)], their_body[their_body.index(END) + len(END) :]
    else:
        before, after = "\n", "\n\n" + their_body.strip() + "\n"
    mine = (body[: body.index(BEGIN)], body[body.index(END) + len(END) :])
    before = _with_missing(before, mine[0], before + after)
    after = _with_missing(after, mine[1], before + after)
    header = their_front if merged == theirs else yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n{before}{text}{after}"


def wrapped(metadata: dict[str, Any], text: str, existing: Path | None = None) -> str:
    """A card of metadata and generated text; what a card on disk has outside its markers, and its metadata, is kept."""
    from generation.card import merge_metadata

    old = existing.read_text(encoding="utf-8") if existing and existing.is_file() else ""
    front, body = split_card(old)
    merged = merge_metadata(_mapping(front), metadata)
    outside = body if BEGIN not in body else body[: body.index(BEGIN)] + body[body.index(END) + len(END) :]
    header = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
    rest = f"\n{outside.strip()}\n" if outside.strip() else ""
    return f"---\n{header}---\n\n{BEGIN} -->\n{text.strip()}\n{END}\n{rest}"


def corpus_card(folder: Path, name: str, config: str | None = None, section: str = "") -> str:
    """The card of a corpus folder as it reads on the Hub.

    Args:
        folder: the corpus; its card is there and current.
        name: `USER/REPO`.
        config: name of its config where the repository holds several corpora, which is also its folder there.
        section: Markdown to add at the end of the generated part.
    """
    front, body = split_card((folder / "README.md").read_text(encoding="utf-8"))
    place = f"{name}/{config}" if config else name
    loaded = f'"{name}", "{config}"' if config else f'"{name}"'
    fetch = f"faithful corpus add {name}" + (f" --config {config}" if config else "") + f" --out {folder.name}"
    export = f"faithful corpus export {folder.name} --context"
    for pattern, text in (
        (r'load_dataset\("(?!parquet")[^"]*"', f"load_dataset({loaded}"),
        (r'scan_parquet\("[^"]*/(?=data/)', f'scan_parquet("hf://datasets/{place}/'),
        (r"(?m)^faithful corpus export \S+ --context", f"{fetch}\n{export}"),
        (r"`faithful corpus export \S+ --context", f"`{fetch}`, then `{export}"),
    ):
        body = re.sub(pattern, text, body)
    if section:
        body = body.replace(END, f"\n{section.strip()}\n{END}")
    return f"---\n{front}---\n{body}"


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
        tags = theirs.get("tags") or []
        merged["tags"] = list(dict.fromkeys([*([tags] if isinstance(tags, str) else tags), *ours["tags"]]))
    return merged


def _with_missing(text: str, mine: str, there: str) -> str:
    """Text with the paragraphs of ours that are nowhere in it."""
    missing = [part.strip() for part in re.split(r"\n{2,}", mine) if part.strip() and part.strip() not in there]
    return text + "".join(f"\n{part}\n" for part in missing)


def _mapping(front: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(front) if front else {}
    except yaml.YAMLError as error:
        raise FaithfulError(
            "The card's metadata (between the --- lines of README.md) is no valid YAML; mend it."
        ) from error
    return found if isinstance(found, dict) else {}
