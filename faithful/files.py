"""Writes that are whole or absent, checksums, and the lock of a folder."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithful.errors import FaithfulError

TEMPORARY = ".tmp"
_shared_below: set[tuple[int, Path]] = set()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in 1 MiB pieces.

    Raises:
        FaithfulError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise FaithfulError(f"Cannot read {path}: {reason_of(error)}; make it readable, then run again.") from error
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
        raise _cannot_write(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 text."""
    write_atomically(path, lambda temporary: _fill(temporary, text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Atomically write indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        FaithfulError: it cannot be read.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; delete it and run what made it again.") from error


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line (a log: a line may be cut off by a crash, readers skip it).

    Raises:
        FaithfulError: the disk is full or the file cannot be written; the lines before stay whole.
    """
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
                line = b"\n" + line
            if file.write(line) != len(line):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _cannot_write(path, error) from error


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed process left half-written; call it only while holding the folder's lock.

    Raises:
        FaithfulError: something there cannot be deleted.
    """
    for path in folder.rglob(f".*{TEMPORARY}"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(path, error) from error


@contextmanager
def folder_lock(folder: Path, *, shared_below: bool = False) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when the process dies.

    Args:
        folder: made where it is missing.
        shared_below: functions called under this lock in the same thread, which take the lock themselves, may go on.

    Raises:
        FaithfulError: another process holds it, or the folder cannot be written.
    """
    mine = (threading.get_ident(), folder.resolve())
    if mine in _shared_below:
        yield
        return
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)
    except OSError as error:
        raise _cannot_lock(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "unknown"
            raise FaithfulError(
                f"Another process (pid {holder}) is writing {folder}; wait until it ends or choose another --out."
            ) from None
        except OSError as error:
            raise _cannot_lock(folder, error) from error
        if shared_below:
            _shared_below.add(mine)
        try:
            yield
        finally:
            _shared_below.discard(mine)


def reason_of(error: OSError) -> str:
    """Why the system refused, in its own words and on one line."""
    return error.strerror or next(iter(str(error).strip().splitlines()), type(error).__name__)


def _cannot_write(path: Path, error: OSError) -> FaithfulError:
    return FaithfulError(f"Cannot write {path}: {reason_of(error)}; free space or fix the folder, then run again.")


def _cannot_lock(folder: Path, error: OSError) -> FaithfulError:
    return FaithfulError(
        f"Cannot write to {folder}: {reason_of(error)}; free space or choose another folder with --out."
    )


def _fill(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
