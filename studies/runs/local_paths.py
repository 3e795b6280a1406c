"""Folders of this machine in what is to be published: names in their place, or a word before anything is sent."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.records import parse_json, record_bytes
from faithful.hub.local_files import LARGE_NAMES, LocalFile, sendable
from faithful.store.corpus import MANIFEST, RESTORE, Corpus, Manifest

PLACES = ("source", "path", "asked")
RESULTS = "results.parquet"


def without_paths(corpus: Corpus) -> Corpus:
    """The corpus with names in place of folders in its provenance: `./model` for `/home/me/models/model`.

    Its identity, which has no paths, and its shards are the same.
    """
    found = Corpus(corpus.folder)
    found.manifest = replace(corpus.manifest, provenance=_named(corpus.manifest.provenance))
    return found


def manifest_file(corpus: Corpus, below: str, root: Path) -> LocalFile:
    """`corpus.json` as it is published: the file's own bytes where it names no folder of this machine.

    Raises:
        FaithfulError: it is a link that leads out of `root`, the folder that is published.
    """
    content = sendable(corpus.folder / MANIFEST, root).read_bytes()
    values = parse_json(content, str(corpus.folder / MANIFEST), RESTORE)
    if local_paths(values["provenance"]):
        values["provenance"] = _named(values["provenance"])
        content = record_bytes(values)
    return LocalFile.of(below + MANIFEST, content)


def local_paths(value: Any) -> set[str]:
    """Absolute paths in a provenance: where a local model or local files lay."""
    found: set[str] = set()
    _replaced(value, lambda path: found.add(path))
    return found


def paths_objection(
    folder: Path, manifests: Iterable[Manifest], cards: Mapping[str, str], files: Sequence[LocalFile]
) -> tuple[str, ...]:
    """What to say before text is sent that names a folder of this machine, () where none does.

    Args:
        folder: what is published.
        manifests: of the corpora it is from.
        cards: by their path.
        files: all others; the texts of corpora and the weights of SAEs are not looked at.
    """
    stated = (local_paths(manifest.provenance) for manifest in manifests)
    every = {f"{home}/" for home in _homes()}.union({str(folder.resolve())}, *stated)
    paths = [path.encode() for path in every - {"//"} if path.count("/") > 1]
    texts = {name: text.encode() for name, text in cards.items()} | {file.path: _text_of(file) for file in files}
    naming = [name for name, text in texts.items() if any(path in text for path in paths)]
    if not naming:
        return ()
    names = ", ".join(naming[:3]) + (" …" if len(naming) > 3 else "")
    return (f"{names} would show folders of this machine",)


def _homes() -> list[Path]:
    try:
        return [Path.home()]
    except RuntimeError:  # no HOME, and no entry for the user: then no file can name it either
        return []


def _text_of(file: LocalFile) -> bytes:
    """What can be read in a file: of a study's results, the words in its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(file.source, bytes):
        return file.source
    if file.source.name == RESULTS:
        try:
            table = pq.read_table(file.source)
        except (OSError, pa.ArrowException) as error:
            raise FaithfulError(
                f"Cannot read {file.source}: it is damaged; run the study again, then publish."
            ) from error
        columns = [column for column in table.columns if str(column.type).endswith("string")]
        return "\n".join(str(value) for column in columns for value in column.unique().to_pylist()).encode()
    return b"" if file.source.suffix in LARGE_NAMES else file.source.read_bytes()


def _named(value: Any) -> Any:
    """A provenance with names in place of folders."""
    return _replaced(value, lambda path: f"./{Path(path).name}")


def _replaced(value: Any, change: Callable[[str], Any], name: str = "") -> Any:
    """A value of JSON with something else in place of every path on this machine."""
    if isinstance(value, list):
        return [_replaced(part, change, name) for part in value]
    if isinstance(value, dict):
        return {key: _replaced(part, change, key) for key, part in value.items()}
    return change(value) if _is_path(value, name) else value


def _is_path(value: Any, name: str) -> bool:
    """Whether a value of a provenance is a place on this machine: one of `PLACES`, or a path without spaces anywhere."""
    if not isinstance(value, str) or len(value) < 2:
        return False
    return value.startswith(("/", "~")) if name in PLACES else bool(re.fullmatch(r"~?(/[^\s/]+){2,}/?", value))
