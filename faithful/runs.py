"""Where files go when the user names no folder: `runs/NAME/…`, and which run is the current one."""

import os
import re
from pathlib import Path

from faithful.catalog import find_preset
from faithful.errors import FaithfulError
from faithful.files import write_text

ROOT = Path("runs")


def run_name(model: str) -> str:
    """Folder name of a model's run: the preset's name, else the last part of the id or path."""
    preset = find_preset(model)
    name = preset.name if preset else Path(model).resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name) or "run"


def run_folder(name: str) -> Path:
    """Path of a run: `name` is a run's name under `runs/`, or a path."""
    return Path(name) if "/" in name else ROOT / name


def current_run(run: str | None = None) -> Path:
    """The run a command works on: `--run`, else `FAITHFUL_RUN`, else the one last used here (`runs/current`).

    Raises:
        FaithfulError: none is named, or it does not exist.
    """
    marker = ROOT / "current"
    name = run or os.environ.get("FAITHFUL_RUN") or (marker.read_text().strip() if marker.exists() else "")
    if not name:
        raise FaithfulError("There is no current run here; name a folder, or start with `faithful generate`.")
    folder = run_folder(name)
    if not folder.is_dir():
        raise FaithfulError(f"The run {folder} does not exist; start it with `faithful generate` or name another.")
    return folder


def remember_run(folder: Path) -> None:
    """Make `folder` the current run of this working directory (only runs under `runs/` are remembered)."""
    if folder.parent == ROOT:
        write_text(ROOT / "current", folder.name + "\n")


def corpora_of(run: Path) -> list[Path]:
    """Corpus folders of a run, by name."""
    return sorted(path.parent for path in (run / "corpora").glob("*/corpus.json"))
