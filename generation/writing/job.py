"""The one way in which a corpus is made, whatever its kind: found or begun, compared, locked, written, described, resumed.

A command is a `CorpusJob`; `run_job` does it. Killed at any instant and run again, it goes on from the shards that are whole.
"""

import contextlib
import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from faithful.base.files import folder_lock, log_work, remove_temporaries
from faithful.base.progress import Reporter
from faithful.store.corpus import MANIFEST, SPLITS, Manifest, intact_shards
from faithful.store.places import remember_run
from generation.writing.recorded import existing_corpus


@dataclass(frozen=True)
class CorpusResult:
    """What a command did.

    Attributes:
        folder: the corpus.
        manifest: its manifest.
        changed: whether anything was written.
        note: what there is now, in a few sentences.
    """

    folder: Path
    manifest: Manifest
    changed: bool
    note: str


class CorpusJob(ABC):
    """A corpus to be made, extended or completed. Making one refuses, before work starts, what cannot be done.

    Attributes:
        command: its name in the corpus' log; '' for none.
        folder: the corpus.
        manifest: that of the corpus there, else the one that it begins with.
        is_in_run: whether the folder is a run's by default, which is then the current one.
    """

    command = ""
    folder: Path
    manifest: Manifest
    is_in_run = False

    @abstractmethod
    def is_reached(self) -> bool:
        """Whether the splits hold what is asked for."""

    @abstractmethod
    def settle(self, report: Reporter) -> None:
        """Decide what is to be written, before the folder is touched; refuse what cannot be."""

    @abstractmethod
    def write(self, report: Reporter) -> bool:
        """Write what is missing, under the folder's lock, and keep `manifest` as it is on disk; whether anything was."""

    @abstractmethod
    def finish(self, report: Reporter) -> bool:
        """Complete what every finished corpus gets, its statistics and its card; whether any of it was missing."""

    @abstractmethod
    def holds(self) -> str:
        """`FOLDER already holds …`, for a corpus that was there."""

    @abstractmethod
    def wrote(self) -> str:
        """What there is now, as sentences, for a corpus that was written."""

    def existing(self) -> Manifest | None:
        """The manifest in the folder by now."""
        return existing_corpus(self.folder)

    def go_on(self, manifest: Manifest) -> None:
        """Go on with a corpus that another process wrote meanwhile, unless it was made otherwise."""
        self.manifest = manifest

    def is_complete(self) -> bool:
        """Whether there is nothing to write."""
        shards = self.manifest.shards
        return bool(shards["train"]) and self.is_reached() and all(map(all, self._intact().values()))

    def keeps(self, error: Exception, was_empty: bool) -> bool:
        """Whether what was written before an error stays; `was_empty`: no document was there before."""
        return not was_empty

    def log_entry(self) -> dict[str, object]:
        """What the log says beside the time and the tokens."""
        return {}

    def intact_tokens(self) -> int:
        """Tokens of both splits in shards that are whole."""
        intact, shards = self._intact(), self.manifest.shards
        return sum(
            shard.tokens for split in shards for shard, whole in zip(shards[split], intact[split], strict=True) if whole
        )

    def _intact(self) -> dict[str, list[bool]]:
        return {split: intact_shards(self.folder, shards) for split, shards in self.manifest.shards.items()}


def run_job(job: CorpusJob, report: Reporter) -> CorpusResult:
    """Make a corpus, complete it after an interruption, or find that there is nothing to do.

    Raises:
        FaithfulError: what the job refuses, or a folder that another process is writing.
    """
    if job.is_complete():
        return _already_there(job, report)
    job.settle(report)
    is_new = not job.folder.exists()
    with folder_lock(job.folder, shared_below=True):
        manifest = job.existing()
        if manifest is not None and manifest != job.manifest:
            job.go_on(manifest)
            if job.is_complete():
                return _already_there(job, report)
            job.settle(report)
        remove_temporaries(job.folder)
        began, before = time.time(), job.intact_tokens()
        was_empty = not any(job.manifest.rows(split) for split in SPLITS)
        try:
            changed = job.write(report)
        except Exception as error:
            if not job.keeps(error, was_empty):
                _remove(job.folder, is_new)
            raise
        if job.command and (tokens := job.intact_tokens() - before):
            log_work(job.folder, job.command, time.time() - began, tokens=tokens, **job.log_entry())
        _remember(job)
        job.finish(report)
    job.manifest = job.existing() or job.manifest
    return CorpusResult(job.folder, job.manifest, changed, job.wrote())


def _already_there(job: CorpusJob, report: Reporter) -> CorpusResult:
    """Everything asked for is there; a description that is missing is made."""
    described = job.finish(report)
    _remember(job)
    note = job.holds() + ("; its description was completed." if described else ": nothing to do.")
    return CorpusResult(job.folder, job.existing() or job.manifest, described, note)


def _remember(job: CorpusJob) -> None:
    if job.is_in_run:
        remember_run(job.folder.parent.parent)


def _remove(folder: Path, is_new: bool) -> None:
    """Leave no part of a corpus that could not be completed, and no folder that was not there before."""
    for part in SPLITS.values():
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in (MANIFEST, *([".lock"] if is_new else [])):
        (folder / name).unlink(missing_ok=True)
    if is_new:
        with contextlib.suppress(OSError):
            folder.rmdir()
