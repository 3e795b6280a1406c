"""The dataset card: README.md of a corpus folder, written from the manifest.

Everything between two markers is ours and is rewritten; what people write outside, and the metadata they set, stays.
"""

import hashlib
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_text
from faithful.hub.card_file import BEGIN, END, make_card
from faithful.hub.card_metadata import read_card
from faithful.hub.licences import FILE as LICENCES
from faithful.hub.repository import CARD
from faithful.store.corpus import Corpus, Manifest, read_manifest
from generation.cards.external import external_metadata, render_external
from generation.cards.figures import pit_figure
from generation.cards.own import own_metadata, render_own
from generation.cards.parts import Address


def write_card(folder: Path) -> Path:
    """Write or renew README.md (and pit.png where there is a certificate); human edits are kept.

    Raises:
        FaithfulError: README.md is a link, whose text is not ours to copy; or see `make_card`.
    """
    corpus = Corpus(folder)
    certificate, path = corpus.manifest.certificate, folder / CARD
    if certificate and "pit_counts" in certificate:
        pit_figure(certificate, folder / "pit.png")
    if path.is_symlink():
        raise FaithfulError(f"{path} is a link; put the card itself there, or take the link away.")
    text = render(corpus, Address.here(corpus))
    write_text(path, make_card(metadata(corpus), text, path, digest=card_digest(corpus.manifest)))
    return path


def hub_card(corpus: Corpus, name: str, config: str | None = None, section: str = "", root: Path | None = None) -> str:
    """The card of a corpus as it reads on the Hub, where its places are others than here; nothing on disk is changed.

    Args:
        corpus: the corpus; what people wrote into its README.md is kept.
        name: `USER/REPO`.
        config: name of its config where the repository holds several corpora, which is also its folder there.
        section: Markdown to add at the end of the generated part.
        root: the folder that is published, by default the corpus' own.

    Raises:
        FaithfulError: see `make_card`.
    """
    text = "\n\n".join(filter(None, (render(corpus, Address.on_hub(corpus, name, config)).strip(), section.strip())))
    return make_card(metadata(corpus), text, corpus.folder / CARD, root, card_digest(corpus.manifest))


def card_is_current(folder: Path) -> bool:
    """Whether the folder's card was written from its present manifest."""
    path = folder / CARD
    text = read_card(path) if path.exists() else ""
    return f"{BEGIN} {card_digest(read_manifest(folder))} -->" in text and END in text


def card_digest(manifest: Manifest) -> str:
    """Hash of what the card is made of, template included, kept in its first marker: an outdated card is known as such."""
    parts = [asdict(shard) for shards in manifest.shards.values() for shard in shards]
    template = template_version("corpus.md.jinja" if manifest.kind == "own" else "external.md.jinja")
    return digest([parts, manifest.certificate, manifest.statistics, template])[:16]


@cache
def template_version(name: str) -> str:
    """Hash of a template of `data_cards` and of the licence paragraphs that go into it."""
    sources = [(resources.files("data_cards") / part).read_bytes() for part in (name, LICENCES)]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


def metadata(corpus: Corpus) -> dict[str, Any]:
    """The card's YAML: only what is known."""
    return own_metadata(corpus) if corpus.manifest.kind == "own" else external_metadata(corpus)


def render(corpus: Corpus, at: Address) -> str:
    """The generated part of the card, Markdown."""
    return (render_own if corpus.manifest.kind == "own" else render_external)(corpus, at)
