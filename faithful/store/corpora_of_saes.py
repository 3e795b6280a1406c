"""The corpora that SAEs are trained on: where they lie (`corpora.json`, never published), and the BOS they begin with."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.records import read_record, update_record
from faithful.base.shapes import Name
from faithful.models.spec import ModelSpec, in_words
from faithful.store.corpus import MANIFEST, Corpus, Manifest

NAME = "corpora.json"
PLACES: type[dict[str, str]] = dict[Name, Path]  # type: ignore[assignment]
MEND = "delete it and train again, or name the corpora"


def bos_of(corpora: Iterable[Corpus]) -> int | None:
    """The BOS that a model reads corpora with: the one its own text was sampled from; without own text the recorded one.

    Give it to `resolve_model(…, bos=…)`: what `generate --bos` was told is not in the model's files.

    Args:
        corpora: opened corpora; a derived one counts as own where any part of it was sampled.

    Returns:
        The id, None without corpora.

    Raises:
        FaithfulError: own corpora (or, without any, the others) begin with different tokens.
    """
    every = list(corpora)
    own = [corpus for corpus in every if _is_sampled(corpus.manifest.kind, corpus.manifest.provenance)] or every
    first = {corpus.manifest.identity["model"]["bos_id"]: corpus for corpus in reversed(own)}
    if len(first) > 1:
        places = " and ".join(f"{corpus.folder} with token {bos}" for bos, corpus in sorted(first.items())[:2])
        raise FaithfulError(f"The corpora begin with different tokens (BOS): {places}; use corpora of one --bos.")
    return next(iter(first), None)


def loaded_otherwise(corpus: Corpus, spec: ModelSpec) -> str | None:
    """A sentence where a corpus was sampled from the model quantised otherwise than it is loaded now: from another one."""
    others = sampled_loads(corpus.manifest, spec.revision) - {spec.load}
    if not others:
        return None
    loads = " and ".join(sorted(map(in_words, others)))
    made = "was sampled" if corpus.manifest.kind == "own" else "holds text sampled"
    return (
        f"{corpus.name} {made} from {spec.name} {loads}, and {spec.name} {in_words(spec.load)} reads it: to that, its text"
        " is another model's."
    )


def sampled_loads(manifest: Manifest, revision: str) -> set[str | None]:
    """How a model was loaded (`ModelSpec.load`) when the text of a corpus was sampled from it, that of its parts included;
    none where nothing was."""
    return set(_sampled_loads(manifest.kind, manifest.identity, manifest.provenance, revision))


def _sampled_loads(
    kind: str, identity: Mapping[str, Any], provenance: Mapping[str, Any], revision: str
) -> Iterator[str | None]:
    model = provenance.get("model", {}) | identity.get("model", {})
    if kind == "own" and model.get("revision") == revision:
        yield model.get("load")
    used = {entry["name"] for entry in identity.get("derivation", {}).get("inputs", ())}
    for part in provenance.get("inputs", ()):
        if part.get("name") in used:
            inside = {**part.get("provenance", {}), "model": part["model"]}
            yield from _sampled_loads(part["kind"], part["identity"], inside, revision)


def _is_sampled(kind: str, provenance: Mapping[str, Any]) -> bool:
    return kind in ("own", "foreign") or any(
        _is_sampled(part["kind"], part["provenance"]) for part in provenance.get("inputs", ())
    )


def remember_corpora(out: Path, corpora: Iterable[Path]) -> None:
    """Note each corpus' place, relative to the folder of the SAEs, beside those that other trainings note there."""
    places = {folder.resolve().name: os.path.relpath(folder.resolve(), out.resolve()) for folder in corpora}
    update_record(out / NAME, PLACES, lambda known: known | places, MEND)


def noted_corpora(folder: Path) -> dict[str, str]:
    """Corpora noted in a folder of SAEs: the place of each, relative to the folder; none where nothing is noted.

    Raises:
        FaithfulError: corpora.json is damaged.
    """
    path = folder / NAME
    return read_record(path, PLACES, MEND) if path.is_file() else {}


def trained_corpora(folder: Path) -> dict[str, Path]:
    """Corpora noted in a folder of SAEs or in one above it, by name; beside it, those of its run."""
    for place in (folder.resolve(), *folder.resolve().parents[:3]):
        if (place / NAME).exists():
            return {name: (place / where).resolve() for name, where in noted_corpora(place).items()}
        beside = {path.parent.name: path.parent for path in place.parent.glob(f"corpora/*/{MANIFEST}")}
        if place.name == "saes" and beside:
            return beside
    return {}
