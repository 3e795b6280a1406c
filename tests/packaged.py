"""Packages that are installed in a folder, as pip leaves them, and source archives."""

import io
import tarfile
from pathlib import Path

import pytest

from faithful.base import packages
from faithful.base.packages import PACKAGES


def install(
    folder: Path, name: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, version: str = ""
) -> None:
    """A package of some files, found before any other of its name."""
    version = version or PACKAGES[name].version
    record = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (record / "RECORD").write_text("".join(f'"{place}",,\n' for place in files))
    for place, content in files.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))


def archive(folder: Path, name: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source archive where those of the environment are looked for."""
    monkeypatch.setattr(packages, "SHARED", folder)
    top = f"{name}-{PACKAGES[name].version}"
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / f"{top}.tar.gz", "w:gz") as packed:
        for place, content in files.items():
            entry = tarfile.TarInfo(f"{top}/{place}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return folder / f"{top}.tar.gz"
