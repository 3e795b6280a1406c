"""Writes that are whole or absent, checksums, and the lock of a folder."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithful.errors import FaithfulError

TEMPORARY = ".tmp"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then fsync it, rename it over `path` and fsync the folder.

    Raises:
        FaithfulError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        raise FaithfulError(f"Cannot write {path}: {reason}; free space or fix the folder, then run again.") from error


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 text."""
    write_atomically(path, lambda temporary: _fill(temporary, text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Atomically write indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line (a log: the last line may be cut off by a crash, readers skip it)."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed process left half-written; call it only while holding the folder's lock."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when the process dies.

    Raises:
        FaithfulError: another process holds it, or the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise FaithfulError(f"Cannot write to {folder}: {error.strerror}; choose another folder with --out.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise FaithfulError(
                f"Another process (pid {holder}) is writing {folder}; wait until it ends or choose another --out."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def _fill(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
