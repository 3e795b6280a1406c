"""A job for the environment of SAEBench: written, run there, and what came of it kept as it was written there."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_json, write_text
from faithful.base.progress import Progress, Reporter
from faithful.store.saes import TrainedSae
from studies.bridge.inside import ENDING, Job, Told

INSIDE = Path(__file__).with_name("inside.py")
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
    """

    name: str
    settings: Mapping[str, Any]
    key: str


def evaluate_outside(
    python: Path,
    out: Path,
    job: Told,
    evaluations: Sequence[Evaluation],
    saes: Mapping[str, TrainedSae],
    report: Reporter,
) -> str | None:
    """Make each evaluation of the SAEs that it has not been made of; `kept_figures` reads what came of it.

    Each is kept as `json/EVALUATION/SAE.KEY.json` when its evaluation ends there, so that a killed command goes on with the
    SAEs that are left. Each evaluation works in a folder of its key, so that none reads what another one left half done.

    Args:
        python: of the environment.
        out: folder of the results.
        job: model, device and data.
        evaluations: those wanted.
        saes: by names that file names may have.
        report: SAEs done.

    Returns:
        Why the first one that failed did, as a sentence; the others are made all the same.
    """
    failed = []
    for one in evaluations:
        try:
            _make(python, out, job, one, saes, report)
        except FaithfulError as error:
            failed.append(str(error))
    if not failed:
        shutil.rmtree(out / ".work", ignore_errors=True)
    return failed[0] if failed else None


def kept_figures(out: Path, name: str, key: str, saes: Mapping[str, TrainedSae]) -> dict[str, Found]:
    """What an evaluation of a name and key says of the SAEs that it was made of, by their names."""
    paths = {sae: _kept(out, name, key, sae, trained) for sae, trained in saes.items()}
    return {sae: json.loads(path.read_text(encoding="utf-8")) for sae, path in paths.items() if path.is_file()}


def _make(
    python: Path,
    out: Path,
    job: Told,
    one: Evaluation,
    saes: Mapping[str, TrainedSae],
    report: Reporter,
) -> None:
    work = out / ".work" / f"{one.name}-{one.key[:12]}"
    kept = {name: _kept(out, one.name, one.key, name, sae) for name, sae in saes.items()}
    _collect(work / one.name, kept)
    left = {name: path for name, path in kept.items() if not path.is_file()}
    if not left:
        return
    told = [{"name": path.stem, "folder": str(saes[name].folder.resolve())} for name, path in left.items()]
    path, said = work / "job.json", work / "log"
    whole: Job = {**job, "out": str(work.resolve()), "saes": told, "evals": {one.name: dict(one.settings)}}
    write_json(path, whole)
    try:
        for done in _run(python, path, said, work / one.name):
            report(Progress(f"SAEBench {one.name}", min(done, len(left)), len(left), "SAEs"))
    finally:
        _collect(work / one.name, left)
    silent = [name for name, path in left.items() if not path.is_file()]
    if silent:
        raise FaithfulError(
            f"The evaluation {one.name} says nothing of {silent[0]} ({_last_words(said)}); what it printed is in {said}."
        )


def _kept(out: Path, evaluation: str, key: str, name: str, sae: TrainedSae) -> Path:
    return out / "json" / evaluation / f"{name}.{digest([key, sae.sha256])[:12]}.json"


def _collect(written: Path, kept: Mapping[str, Path]) -> None:
    """Keep what is whole."""
    for path in kept.values():
        try:
            text = (written / f"{path.stem}{ENDING}").read_text(encoding="utf-8")
            json.loads(text)
        except (OSError, ValueError):
            continue
        if not path.is_file():
            write_text(path, text)


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
                yield len(list(written.glob(f"*{ENDING}")))
                time.sleep(POLL)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise FaithfulError(f"SAEBench ended with an error ({_last_words(said)}); what it printed is in {said}.")


def _last_words(said: Path) -> str:
    lines = [line for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:LAST_WORDS].rstrip(".") if lines else "it printed nothing"
