"""Whose texts a corpus holds: its source, or those of the corpora it was derived from, with licences and what they ask."""

import re
from dataclasses import dataclass, replace
from importlib import resources

from faithful.models.spec import in_words
from faithful.store.corpus import Manifest
from faithful.store.manifest_parts import Identity, Kind, ModelPart, Provenance, SourcePart
from generation.sources.resolve import catalog
from generation.writing.identity import FOREIGN

MODEL, RANDOM = "model", "noise"


@dataclass(frozen=True)
class Origin:
    """Texts of one source.

    Attributes:
        name: the source, or the model that the texts were sampled from.
        kind: `model`, or the kind of the source: `hub`, `files`, `embedded`, `package` or `noise`.
        about: what it is, in a line, "" when unknown.
        licence: as its publisher states it, None when unknown.
        repo: its id on the Hub, else None.
        synthetic: whether machines wrote it, as far as is known.
        story: Markdown: where it comes from.
        terms: Markdown: what republishing it asks.
    """

    name: str
    kind: str
    about: str
    licence: str | None
    repo: str | None
    synthetic: bool
    story: str
    terms: str


def origins(manifest: Manifest) -> list[Origin]:
    """Every source whose texts are in a corpus, each once."""
    return list(dict.fromkeys(_origins(manifest.kind, manifest.identity, manifest.provenance)))


def _origins(kind: Kind, identity: Identity, provenance: Provenance) -> list[Origin]:
    if kind == "derived":
        used = {entry["name"] for entry in identity["derivation"]["inputs"]}
        return [
            origin
            for entry in provenance["inputs"]
            if entry["name"] in used
            for origin in _origins(entry["kind"], entry["identity"], {**entry["provenance"], "model": entry["model"]})
        ]
    if kind == "own":
        model = provenance["model"]
        return [_of_model(model.get("name") or identity["model"]["name"], model.get("licence"), model.get("load"))]
    source = _of_source(identity.get("source", {}), provenance.get("source", {}))
    return [_sampled(source, provenance["model"])] if kind == FOREIGN else [source]


def _of_model(name: str, licence: str | None, load: str | None = None) -> Origin:
    how = f" {in_words(load)}" if load else ""
    stated = f"The licence of the model is `{licence}`" if licence else "The licence of the model is not known here"
    return Origin(
        name=name,
        kind=MODEL,
        about=f"samples of {name}{how}",
        licence=licence,
        repo=None,
        synthetic=True,
        story=f"Sampled from the language model {name}{how}, from its start token alone.",
        terms=f"{stated}: check what it says of the model's outputs.",
    )


def _of_source(identity: SourcePart, provenance: SourcePart) -> Origin:
    name, kind = provenance.get("name", "unknown"), identity.get("kind", "files")
    licence, repo = provenance.get("licence"), identity.get("repo")
    stated = (
        f"The publisher states the licence `{licence}`"
        if licence
        else "No licence is known to the tool that wrote this"
    )
    entry = next((e for e in catalog() if (e.name, e.kind, e.repo) == (name, kind, repo)), None)
    sections = _sections(name) if entry else {}
    story = f"The set `{repo}` on the Hugging Face Hub." if repo else "Local files."
    if kind == "package":
        story = f"Files of the Python package `{identity['package']}`, version {identity['version']}."
    words = f"{provenance.get('about', '')} {provenance.get('remarks', '')}".lower()
    return Origin(
        name=name,
        kind=kind,
        about=provenance.get("about", ""),
        licence=licence,
        repo=repo,
        synthetic=kind == RANDOM or "synthetic" in words,
        story=sections.get("Origin", story),
        terms=sections.get(
            "Licence and republishing",
            f"{stated}. Token ids can be turned back into the text: publishing them is publishing the text, so look at the"
            " terms of the source before you do.",
        ),
    )


def _sampled(source: Origin, model: ModelPart) -> Origin:
    """Samples that others drew: from them, and from a model whose licence holds as well."""
    of_model = _of_model(model["name"], model.get("licence"))
    return replace(
        source,
        about=f"samples of {model['name']} that others drew ({source.name})",
        synthetic=True,
        story=f"{source.story} Sampled from the language model {model['name']}, as whoever drew them declares.",
        terms=f"{source.terms} {of_model.terms}",
    )


def _sections(name: str) -> dict[str, str]:
    """The second-level sections of a source's card in `data_cards/sources`, {} where it has none."""
    path = resources.files("data_cards") / "sources" / f"{name.replace(':', '-')}.md"
    parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE) if path.is_file() else []
    return {title.strip(): body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}
