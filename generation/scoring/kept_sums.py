"""Sums of a scoring that may be stopped: kept beside the corpus chunk by chunk, so that the next run goes on from them."""

import contextlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically

FOLDER = ".scoring"


class KeptSums:
    """The sums of a scoring's chunks, in a hidden folder of the corpus until they are all there.

    Where the corpus cannot be written, or the folder is a link to another place, nothing is kept. A file that is damaged
    counts as none.

    Args:
        corpus: the corpus' folder, None to keep nothing.
        key: JSON values that decide the sums.
    """

    def __init__(self, corpus: Path | None, key: Any) -> None:
        self.folder: Path | None = None
        if corpus is not None and os.access(corpus, os.W_OK) and not (corpus / FOLDER).is_symlink():
            self.folder = corpus / FOLDER / digest(key)[:24]

    def load(self, chunk: int) -> dict[str, np.ndarray] | None:
        """What was kept of a chunk, None where nothing was."""
        if self.folder is None:
            return None
        try:
            with np.load(self.folder / f"{chunk:06d}.npz", allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None

    def save(self, chunk: int, sums: dict[str, np.ndarray]) -> None:
        """Keep the sums of a chunk, if that is possible."""
        if self.folder is None:
            return

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **sums)  # type: ignore[arg-type]

        with contextlib.suppress(FaithfulError):
            write_atomically(self.folder / f"{chunk:06d}.npz", write)


def forget_sums(corpus: Path, since: float = float("inf")) -> None:
    """Delete what is kept beside a corpus of scorings that are finished.

    Args:
        corpus: the corpus' folder.
        since: what was kept later than this time belongs to a scoring that goes on, and stays.
    """
    folder = corpus / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return
    for kept in folder.iterdir():
        with contextlib.suppress(OSError):
            if not kept.is_symlink() and kept.stat().st_mtime <= since:
                shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
