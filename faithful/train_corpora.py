"""Where the corpora of a folder of SAEs lie: `corpora.json` beside them, which is never published."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from faithful.corpus import MANIFEST
from faithful.files import write_json

NAME = "corpora.json"


def remember_corpora(out: Path, corpora: Iterable[Path]) -> None:
    """Note each corpus' place, relative to the folder of the SAEs."""
    path = out / NAME
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = known | {folder.resolve().name: os.path.relpath(folder.resolve(), out.resolve()) for folder in corpora}
    if found != known:
        write_json(path, found)


def trained_corpora(folder: Path) -> dict[str, Path]:
    """Corpora noted in a folder of SAEs or in one above it, by name; beside it, those of its run."""
    for place in (folder.resolve(), *folder.resolve().parents[:3]):
        if (place / NAME).exists():
            noted = json.loads((place / NAME).read_text(encoding="utf-8"))
            return {name: (place / where).resolve() for name, where in noted.items()}
        beside = {path.parent.name: path.parent for path in place.parent.glob(f"corpora/*/{MANIFEST}")}
        if place.name == "saes" and beside:
            return beside
    return {}
