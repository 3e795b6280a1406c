"""What is asked for against what a corpus records: one sentence for every difference, and one refusal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.models.presets import find_preset
from faithful.models.spec import is_source
from faithful.store.corpus import MANIFEST, PART, Manifest, read_manifest
from faithful.store.manifest_parts import Identity, Kind, Provenance
from generation.writing.identity import spec_of


def existing_corpus(folder: Path) -> Manifest | None:
    """The manifest of the corpus in a folder; None where there is none yet.

    Raises:
        FaithfulError: the folder holds other things than what a killed first run leaves, or a manifest that cannot be read.
    """
    if (folder / MANIFEST).exists():
        return read_manifest(folder)
    if (folder / PART).exists():
        raise FaithfulError(f"{folder} holds a part of a corpus; choose another --out, or state its --part.")
    if folder.exists() and not folder.is_dir():
        raise FaithfulError(f"{folder} is a file; choose a folder with --out.")
    if folder.is_dir() and any(path.name != ".lock" and not path.name.endswith(".tmp") for path in folder.iterdir()):
        raise FaithfulError(f"{folder} is not empty and holds no corpus; choose another --out.")
    return None


def open_corpus(folder: Path, kind: Kind, identity: Identity, provenance: Provenance) -> Manifest:
    """The manifest of the corpus in a folder, which must have this identity, else a new one (not yet written).

    Raises:
        FaithfulError: the folder holds something else, or a corpus with another identity; says what differs.
    """
    manifest = existing_corpus(folder)
    if manifest is None:
        return Manifest(folder.resolve().name, kind, identity, provenance, requested={"train": 0, "test": 0})
    refuse_other_identity(folder, manifest, kind, identity)
    return manifest


def refuse_other_identity(folder: Path, manifest: Manifest, kind: Kind, identity: Identity) -> None:
    """Compare a whole identity with that of a corpus.

    Raises:
        FaithfulError: they differ; names the first six differences.
    """
    recorded, asked = flat(manifest.identity), flat(identity)
    changes = [
        difference(name, asked.get(name), recorded.get(name))
        for name in dict.fromkeys([*asked, *recorded])
        if asked.get(name) != recorded.get(name)
    ]
    if manifest.kind != kind:
        changes.insert(0, f"the corpus there is {manifest.kind}")
    refuse_otherwise(folder, changes[:6])


def differences(stated: Mapping[str, Any], recorded: Mapping[str, Any]) -> list[str]:
    """A `difference` for each value that is stated, that is not None, and recorded otherwise."""
    return [
        difference(name, value, recorded.get(name))
        for name, value in stated.items()
        if value is not None and value != recorded.get(name)
    ]


def difference(name: str, asked: Any, recorded: Any) -> str:
    """`temperature 0.7 asked for, 1.0 in the corpus`."""
    return f"{name.replace('_', ' ')} {asked} asked for, {recorded} in the corpus"


def model_differences(model: str | None, manifest: Manifest) -> list[str]:
    """The `difference` of a stated model, by preset, name or folder; none where it is the corpus' or None."""
    if not model:
        return []
    preset, source, name = find_preset(model), spec_of(manifest).source, manifest.identity["model"]["name"]
    asked = preset.name if preset else model
    if asked == name or is_source(asked, source):
        return []
    return [difference("model", asked, name)]


def refuse_otherwise(folder: Path, changes: list[str], advice: str = "Choose another --out") -> None:
    """Refuse to go on with a corpus that was made otherwise than asked for.

    Raises:
        FaithfulError: there are differences.
    """
    if changes:
        raise FaithfulError(f"{folder} was made otherwise: {'; '.join(changes)}. {advice}; nothing was changed.")


def flat(value: object, name: str = "") -> dict[str, object]:
    """Nested dicts as one dict with dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: leaf for part, below in value.items() for key, leaf in flat(below, f"{name}.{part}".strip(".")).items()
    }
