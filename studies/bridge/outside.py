"""A job for the environment of SAEBench: written, run there, and what came of it kept as it was written there."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_json, write_text
from faithful.base.progress import Progress, Reporter
from faithful.store.saes import TrainedSae

INSIDE = Path(__file__).with_name("inside.py")
ENDING = "_custom_sae_eval_results.json"
LAST_WORDS = 300
POLL = 0.5

Found = dict[str, Any]
"""What an evaluation wrote of one SAE."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation to be made of every SAE.

    Attributes:
        name: of a runner of `studies.bridge.inside`.
        settings: its configuration there.
        key: of all that decides its figures beside the SAE.
        read: JSON of what the folder that it wrote to holds of an SAE by its name; None where it is not whole.
    """

    name: str
    settings: Mapping[str, Any]
    key: str
    read: Callable[[Path, str], str | None]


def evaluate_outside(
    python: Path,
    out: Path,
    job: Mapping[str, Any],
    evaluations: Sequence[Evaluation],
    saes: Mapping[str, TrainedSae],
    report: Reporter,
) -> dict[str, dict[str, Found]]:
    """What each evaluation says of each SAE, by their names; what was there already is taken.

    Each is kept as `json/EVALUATION/SAE.KEY.json` when its evaluation ends there, so that a killed command goes on with the
    SAEs that are left.

    Args:
        python: of the environment.
        out: folder of the results.
        job: model, device and data; see `studies.bridge.inside`.
        evaluations: those wanted.
        saes: by names that file names may have.
        report: SAEs done.

    Raises:
        FaithfulError: an evaluation ended with an error, or without saying anything of an SAE.
    """
    work = out / ".work"
    kept = {one.name: {name: _kept(out, one, name, sae) for name, sae in saes.items()} for one in evaluations}
    for one in evaluations:
        _collect(work, one, kept[one.name])
        left = {name: saes[name] for name, path in kept[one.name].items() if not path.is_file()}
        if not left:
            continue
        told = [
            {"name": path.stem, "folder": str(saes[name].folder.resolve())}
            for name, path in kept[one.name].items()
            if name in left
        ]
        path = work / f"{one.name}.json"
        write_json(path, {**job, "out": str(work.resolve()), "saes": told, "evals": {one.name: dict(one.settings)}})
        said = work / f"{one.name}.log"
        for done in _run(python, path, said, work / one.name):
            report(Progress(f"SAEBench {one.name}", min(done, len(left)), len(left), "SAEs"))
        _collect(work, one, kept[one.name])
        silent = [name for name in left if not kept[one.name][name].is_file()]
        if silent:
            raise FaithfulError(
                f"The evaluation {one.name} says nothing of {silent[0]} ({_last_words(said)}); what it printed is in {said}."
            )
    shutil.rmtree(work, ignore_errors=True)
    return {
        one.name: {name: json.loads(path.read_text(encoding="utf-8")) for name, path in kept[one.name].items()}
        for one in evaluations
    }


def one_file(folder: Path, name: str) -> str | None:
    """The file that SAEBench writes of an SAE, as it is; None where there is none, or half of one."""
    return _whole(folder / f"{name}{ENDING}")


def many_files(folder: Path, name: str) -> str | None:
    """The files that sae-probes writes of an SAE, by their names."""
    found = {path.stem: _whole(path) for path in sorted((folder / name).rglob("*.json"))}
    if not found or None in found.values():
        return None
    return json.dumps({stem: json.loads(text) for stem, text in found.items() if text})


def _whole(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError):
        return None
    return text


def _kept(out: Path, one: Evaluation, name: str, sae: TrainedSae) -> Path:
    return out / "json" / one.name / f"{name}.{digest([one.key, sae.sha256])[:12]}.json"


def _collect(work: Path, one: Evaluation, kept: Mapping[str, Path]) -> None:
    """Keep what is whole."""
    for path in kept.values():
        found = None if path.is_file() else one.read(work / one.name, path.stem)
        if found is not None:
            write_text(path, found)


def _run(python: Path, job: Path, said: Path, written: Path) -> Iterator[int]:
    """Run a job; yields how many SAEs are done. Ending it early ends the process."""
    quiet = {
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | quiet
    with said.open("wb") as log:
        process = subprocess.Popen(
            [str(python.absolute()), str(INSIDE), str(job.resolve())],
            cwd=job.parent,
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            while process.poll() is None:
                yield len(list(written.glob("*"))) if written.is_dir() else 0
                time.sleep(POLL)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise FaithfulError(f"SAEBench ended with an error ({_last_words(said)}); what it printed is in {said}.")


def _last_words(said: Path) -> str:
    lines = [line for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:LAST_WORDS].rstrip(".") if lines else "it printed nothing"
