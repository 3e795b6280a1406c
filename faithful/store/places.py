"""Where files go when the user names no folder: `runs/NAME/…`, and which run is the current one."""

import os
import re
from pathlib import Path
from typing import TypedDict

from faithful.base.errors import FaithfulError
from faithful.base.files import write_text
from faithful.base.records import read_record, read_text
from faithful.base.shapes import NotNegative
from faithful.base.suggest import did_you_mean
from faithful.models.presets import find_preset
from faithful.store.corpus import MANIFEST

ROOT = Path("runs")
STATE = "steps.json"


def run_name(model: str) -> str:
    """Folder name of a model's run: the preset's name, else the last part of the id or path."""
    preset = find_preset(model)
    name = preset.name if preset else re.sub(r"\.gguf$", "", Path(model).resolve().name, flags=re.IGNORECASE)
    return as_folder(name) or "run"


def as_folder(name: str) -> str:
    """A name as that of a folder: letters and digits of any script, `.`, `_` and `-`, and never hidden."""
    return re.sub(r"[^\w.-]+", "-", name).lstrip(".")


def run_folder(name: str) -> Path:
    """Path of a run: `name` is a run's name under `runs/`, or a path."""
    return Path(name) if "/" in name else ROOT / name


def current_run(run: str | None = None) -> Path:
    """The run a command works on: `--run`, else `FAITHFUL_RUN`, else the one last used here (`runs/current`).

    Raises:
        FaithfulError: none is named, or it does not exist.
    """
    marker = ROOT / "current"
    name = run or os.environ.get("FAITHFUL_RUN") or (read_text(marker).strip() if marker.exists() else "")
    if not name:
        raise FaithfulError("There is no current run here; name a folder, or start with `faithful generate`.")
    folder = run_folder(name)
    if not folder.is_dir():
        near = did_you_mean(folder.name, [place.name for place in sorted(ROOT.glob("[!.]*/"))])
        raise FaithfulError(
            f"The run {folder} does not exist; start it with `faithful generate` or name another.{near}"
        )
    return folder


def remember_run(folder: Path) -> None:
    """Make `folder` the current run of this working directory (only runs under `runs/` are remembered)."""
    if folder.parent == ROOT:
        write_text(ROOT / "current", folder.name + "\n")


class StepDone(TypedDict, total=False):
    """What is noted of a step that was done: what it was told, what it left behind, and how long it took."""

    key: str
    left: str | None
    seconds: NotNegative


def read_steps(run: Path) -> dict[str, StepDone]:
    """The steps of a run's recipe that were done (`steps.json`), each as `StepDone`; none where nothing was.

    Raises:
        FaithfulError: the record is damaged.
    """
    path = run / STATE
    return (
        read_record(path, dict[str, StepDone], "delete it, and the run does its steps again") if path.exists() else {}
    )


def corpora_of(run: Path) -> list[Path]:
    """Corpus folders of a run, by name; hidden ones are none."""
    return sorted(path.parent for path in (run / "corpora").glob(f"*/{MANIFEST}") if path.parent.name[0] != ".")


def studies_of(run: Path) -> list[Path]:
    """Folders of the finished studies of a run, by name; hidden ones are none."""
    return sorted(path.parent for path in (run / "studies").glob("*/summary.json") if path.parent.name[0] != ".")


def place_of(path: Path) -> Path:
    """The folder that a path, or a run's bare name, stands for; the path itself where neither is there."""
    as_run = run_folder(str(path))
    return as_run if not path.exists() and as_run.is_dir() else path


def corpora_in(*paths: Path) -> list[Path]:
    """The corpora that paths stand for, each once: those of a run, or of a run's folder `corpora`; any other path its own."""
    found: dict[Path, Path] = {}
    for place in map(place_of, paths):
        run = place.parent if place.resolve().name == "corpora" else place
        for folder in [place] if (place / MANIFEST).exists() else corpora_of(place) or corpora_of(run) or [place]:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def saes_in(path: Path) -> Path:
    """The folder of SAEs that a path stands for: that of a run; any other path is its own."""
    place = place_of(path)
    return place / "saes" if (place / "saes").is_dir() and not (place / "cfg.json").exists() else place
