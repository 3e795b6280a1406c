"""Folders of this machine in what is to be published: names in their place, or a word before anything is sent."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faithful.corpus import MANIFEST, Corpus, Manifest
from faithful.publish_plan import LocalFile

PLACES = ("source", "path", "asked")


def without_paths(corpus: Corpus) -> Corpus:
    """The corpus with names in place of folders in its provenance: `./model` for `/home/me/models/model`.

    Its identity, which has no paths, and its shards are the same.
    """
    found = Corpus(corpus.folder)
    found.manifest = replace(corpus.manifest, provenance=_named(corpus.manifest.provenance))
    return found


def manifest_file(corpus: Corpus, below: str) -> LocalFile:
    """`corpus.json` as it is published: the file's own bytes where it names no folder of this machine."""
    content = (corpus.folder / MANIFEST).read_bytes()
    values = json.loads(content)
    if local_paths(values["provenance"]):
        values["provenance"] = _named(values["provenance"])
        content = (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    return LocalFile.of(below + MANIFEST, content)


def local_paths(value: Any) -> set[str]:
    """Absolute paths in a provenance: where a local model or local files lay."""
    if isinstance(value, list):
        return set().union(*map(local_paths, value))
    if not isinstance(value, dict):
        return set()
    here = {part for name, part in value.items() if name in PLACES and _is_path(part)}
    return here.union(*map(local_paths, value.values()))


def paths_objection(manifests: Iterable[Manifest], card: str, files: Sequence[LocalFile]) -> tuple[str, ...]:
    """What to say before text is sent that names a folder of this machine, () where none does."""
    paths = {f"{Path.home()}/"} - {"//"}
    paths = paths.union(*(local_paths(manifest.provenance) for manifest in manifests))
    texts = {file.path: file.source for file in files if isinstance(file.source, bytes)} | {"README.md": card.encode()}
    naming = [name for name, text in texts.items() if any(path.encode() in text for path in paths)]
    if not naming:
        return ()
    names = ", ".join(naming[:3]) + (" …" if len(naming) > 3 else "")
    return (f"{names} would show folders of this machine",)


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [_named(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        name: f"./{Path(part).name}" if name in PLACES and _is_path(part) else _named(part)
        for name, part in value.items()
    }


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 1 and value.startswith(("/", "~"))
