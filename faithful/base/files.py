"""Writes that are whole or absent, checksums, and the lock of a folder."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import resource
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.quantities import per_second

TEMPORARY = ".tmp"
NAME_LENGTH = 40
"""How much of a file's name its temporary file's name holds, so that the second is allowed where the first is."""
LINKS = (errno.ELOOP, errno.EMLINK)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
FILES_BESIDE = 512
"""How many files a process opens beside those that it says it will."""
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
KEPT_HERE = {"nolock", "local_lock=all", "local_lock=flock", "localflock"}
"""Options of a mount with which locks bind the processes of one machine alone (NFS, Lustre)."""
WRITERS = ("SafetensorError", "ComputeError")
IN_WORDS = re.compile(r"\bcode: (\d+)|\bos error (\d+)")
_shared_below: set[tuple[int, Path]] = set()
_together: set[tuple[int, Path]] = set()
_locks: set[io.FileIO] = set()


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

    The temporary file is new and has a name that nobody can foresee; a link at `path` is replaced, what it names is not.
    It is locked meanwhile: one that is not is what a killed process left, and is deleted.

    Raises:
        FaithfulError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    stem = f".{path.name[:NAME_LENGTH]}."
    temporary = path.with_name(f"{stem}{secrets.token_hex(6)}{TEMPORARY}")
    held = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_abandoned(path.parent, stem)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        source = _source_of(error)
        if isinstance(source, KeyboardInterrupt | SystemExit):
            raise source from None
        refused = _refused_write(error, source)
        if refused is None:
            raise
        raise _cannot_write(path, refused) from error
    finally:
        if held >= 0:
            os.close(held)


def write_tensors(path: Path, value: Any) -> None:
    """Atomically write what `torch.save` takes; the bytes do not depend on the file's name."""
    import torch

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            torch.save(value, file)

    write_atomically(path, write)


def write_bytes(path: Path, content: bytes) -> None:
    """Atomically write bytes."""
    write_atomically(path, lambda temporary: _fill(temporary, content))


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 text; what UTF-8 does not have (parts of file names) as JSON would have it."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Atomically write indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, record: Mapping[str, object]) -> None:
    """Append one JSON line (a log: a line may be cut off by a crash, readers skip it).

    Raises:
        FaithfulError: the disk is full or the file cannot be written; the lines before stay whole.
    """
    line = json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    try:
        with open_own(path) as file:
            end = file.seek(0, os.SEEK_END)
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
                line = b"\n" + line
            if file.write(line) != len(line):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _cannot_write(path, error) from error


def log_work(folder: Path, command: str, seconds: float, *, tokens: int, **more: Any) -> None:
    """Note in `log.jsonl` what varies from run to run; a log that cannot be written spoils nothing that is finished."""
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
    entry = {"time": began, "command": command, "tokens": tokens, "seconds": round(seconds, 2)}
    with contextlib.suppress(FaithfulError):
        append_line(folder / "log.jsonl", entry | {"tokens_per_second": per_second(tokens, seconds)} | more)


def open_own(path: Path) -> io.FileIO:
    """A file that is this program's own, made where it is missing, to read and to append to without a buffer.

    Raises:
        OSError: it cannot be opened; or the name is a link, symbolic or hard, and writing would change something else.
    """
    try:
        descriptor = os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY, 0o666
        )
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link to something else", str(path)) from None
        raise
    file = open(descriptor, "ab+", buffering=0)  # noqa: PTH123, SIM115 (a descriptor has no path, and the caller closes it)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        file.close()
        raise OSError(errno.EMLINK, "another file has the same content through a hard link", str(path))
    return file


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


def drop_links(folder: Path) -> None:
    """Delete every symbolic link below a folder that this program fills, and the folder's own name where it is one.

    Raises:
        FaithfulError: one cannot be deleted.
    """
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            try:
                path.unlink()
            except OSError as error:
                raise _cannot_write(path, error) from error


def lock_file(file: io.FileIO, path: Path, how: int) -> None:
    """Lock an open file as `fcntl.flock` does, and see that the lock holds.

    Args:
        file: open for reading and writing.
        path: its name.
        how: `LOCK_EX` or `LOCK_SH`, with `LOCK_NB` not to wait.

    Raises:
        BlockingIOError: another process holds it.
        FaithfulError: the file system has no locks, or gives the same one twice.
        OSError: another reason.
    """
    try:
        fcntl.flock(file, how)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise _without_locks(path, reason_of(error)) from error
        raise
    with contextlib.suppress(OSError), path.open("rb+") as again:
        is_same = os.path.samestat(os.fstat(again.fileno()), os.fstat(file.fileno()))
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_same:
            raise _without_locks(path, "one lock is held twice")


def refuse_local_locks(folder: Path) -> None:
    """Refuse a folder that processes of several machines are to share where its locks bind those of one machine alone.

    Raises:
        FaithfulError: it is mounted so.
    """
    place, at, options = folder.resolve(), Path(), ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            fields = line.split()
            mounted = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]))
            if place.is_relative_to(mounted) and len(mounted.parts) >= len(at.parts):
                at, options = mounted, ",".join(fields[5:])
    if kept := sorted(KEPT_HERE & set(options.split(","))):
        raise FaithfulError(
            f"{folder} is mounted with {kept[0]}, so that its locks bind the processes of one machine alone and parts on"
            f" several would write over each other; mount {at} without it, or choose another --out."
        )


@contextmanager
def locked_together(folder: Path) -> Iterator[None]:
    """Meanwhile this thread locks the folder together with others that do so here: they do parts of one work, and name no
    process in the lock."""
    mine = (threading.get_ident(), folder.resolve())
    _together.add(mine)
    try:
        yield
    finally:
        _together.discard(mine)


@contextmanager
def folder_lock(folder: Path, *, shared_below: bool = False) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when the process dies.

    Args:
        folder: made where it is missing.
        shared_below: functions called under this lock in the same thread, which take the lock themselves, may go on.

    Raises:
        FaithfulError: another process holds it, the folder cannot be written, or it has no locks.
    """
    mine = (threading.get_ident(), folder.resolve())
    if mine in _shared_below:
        yield
        return
    path, is_shared = folder / ".lock", mine in _together
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open_own(path)
    except OSError as error:
        raise _cannot_lock(folder, error) from error
    with file:
        try:
            lock_file(file, path, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            _locks.add(file)
            file.truncate(0)
            if not is_shared:  # of those that hold it together none could be named that is sure to be there still
                file.write(str(os.getpid()).encode())
        except BlockingIOError:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip()
            if is_shared or holder:
                said = f"Another process (pid {holder or 'unknown'}) is writing {folder}; wait until it ends"
            else:
                said = f"Parts of this work are being done in {folder}; wait until they end"
            raise FaithfulError(f"{said} or choose another --out.") from None
        except OSError as error:
            raise _cannot_lock(folder, error) from error
        if shared_below:
            _shared_below.add(mine)
        try:
            yield
        finally:
            _shared_below.discard(mine)
            _locks.discard(file)


def allow_files(count: int) -> None:
    """Let this process open so many files beside the usual ones, as far as its hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _close_locks() -> None:
    """In a process forked off: a lock is its parent's, and ends with the parent whoever else lives on."""
    for file in _locks:
        file.close()


os.register_at_fork(after_in_child=_close_locks)


def reason_of(error: OSError) -> str:
    """Why the system refused, in its own words and on one line."""
    return error.strerror or next(iter(str(error).strip().splitlines()), type(error).__name__)


def _without_locks(path: Path, reason: str) -> FaithfulError:
    return FaithfulError(
        f"Cannot lock {path}: {reason}; its file system has no locks that hold, so choose another --out, or mount it with"
        " them (NFS with lockd, Lustre with -o flock)."
    )


def _cannot_write(path: Path, error: OSError) -> FaithfulError:
    what = "delete it" if error.errno in LINKS else "free space or fix the folder"
    if error.errno in TOO_MANY:
        what = "let a process open more files (ulimit -n)"
    return FaithfulError(f"Cannot write {path}: {reason_of(error)}; {what}, then run again.")


def _cannot_lock(folder: Path, error: OSError) -> FaithfulError:
    if error.errno in (*LINKS, *TOO_MANY):
        return _cannot_write(folder / ".lock", error)
    return FaithfulError(
        f"Cannot write to {folder}: {reason_of(error)}; free space or choose another folder with --out."
    )


def _remove_abandoned(folder: Path, stem: str) -> None:
    """Delete the temporary files of one name that no process holds: what it was killed over."""
    for path in [one for one in folder.iterdir() if one.name.startswith(stem) and one.name.endswith(TEMPORARY)]:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _source_of(error: BaseException) -> BaseException | None:
    """What an error comes from: torch, closing an archive that was not written to its end, hides why behind its own."""
    known: BaseException | None = error
    while isinstance(known, RuntimeError):
        known = known.__cause__ or known.__context__
    return known


def _refused_write(error: BaseException, source: BaseException | None) -> OSError | None:
    """What the system refused, where an error while writing comes from that: libraries wrap it, or keep its number only."""
    if isinstance(source, OSError):
        return source
    found = IN_WORDS.search(str(error)) if type(error).__name__ in WRITERS else None
    code = int(found[1] or found[2]) if found else 0
    return OSError(code, os.strerror(code)) if code else None


def _fill(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
