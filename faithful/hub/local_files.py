"""Files of this machine that are sent: measured once, never hidden, never one that a link fetches from elsewhere."""

import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.files import reason_of, sha256_file
from faithful.hub.repository import RemoteFile

HASHERS = 4
IN_MEMORY_BYTES = 4 << 20
LARGE_NAMES = (".parquet", ".safetensors")


@dataclass(frozen=True)
class LocalFile:
    """A file to publish.

    Attributes:
        path: in the repository.
        source: the content, or the file on disk where it is large.
        size: in bytes.
        sha256: of the content.
        stamp: what tells the file on disk that was measured from another one, None where the content is kept.
    """

    path: str
    source: Path | bytes
    size: int
    sha256: str
    stamp: tuple[int, ...] | None = None

    @classmethod
    def of(cls, path: str, content: bytes) -> "LocalFile":
        """Content that is made here."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def on_disk(cls, path: str, file: Path, root: Path) -> "LocalFile":
        """Measure a file; a small one is kept as it is now, whatever becomes of it on disk.

        Args:
            path: in the repository.
            file: on disk.
            root: the folder that is published.

        Raises:
            FaithfulError: it cannot be read, or `sendable` refuses it.
        """
        real = sendable(file, root)
        stamp = _stamp(real)
        if stamp[0] > IN_MEMORY_BYTES or real.suffix in LARGE_NAMES:
            return cls(path, real, stamp[0], sha256_file(real), stamp)
        return cls.of(path, _content(real))

    def is_at(self, remote: RemoteFile | None) -> bool:
        """Whether this very content is there."""
        if remote is None or remote.size != self.size:
            return False
        if remote.sha256 is not None:
            return remote.sha256 == self.sha256
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == remote.blob_id


def sendable(file: Path, root: Path) -> Path:
    """Where a file that is to be sent really lies: inside the folder that is published, and neither it nor what it leads to
    hidden.

    Args:
        file: in the folder, as it is named there; links in its name are followed, and so are links to links.
        root: the folder that is published; may be a link itself, as somebody named it.

    Raises:
        FaithfulError: a link leads out of the folder, to a hidden file or to nothing, or it is no plain file.
    """
    try:
        home, real = root.resolve(strict=True), file.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = reason_of(error) if isinstance(error, OSError) else "its links lead in a circle"
        raise FaithfulError(f"Nothing was sent: {file} cannot be read: {reason}.") from error
    link = _link_in(file, root)
    if not real.is_relative_to(home):
        way = f"{link} is a link to {real}" if link else f"{file} lies"
        raise FaithfulError(
            f"Nothing was sent: {way}, outside of {root}; only what lies in the folder is published: put the file itself"
            " there, or take the link away."
        )
    shown = [*real.relative_to(home).parts, *(file.relative_to(root).parts if file.is_relative_to(root) else ())]
    if any(part.startswith(".") for part in shown):
        way = f"{link} is a link to the hidden {real}" if link else f"{file} is hidden"
        raise FaithfulError(f"Nothing was sent: {way}, and hidden files are never published; take that away.")
    if not stat.S_ISREG(real.stat().st_mode):
        raise FaithfulError(f"Nothing was sent: {file} is no plain file; take it away.")
    return real


def refuse_linked_folders(root: Path) -> None:
    """Refuse a folder that holds links to folders: what lies behind them is not looked for, and would be missing.

    Raises:
        FaithfulError: there is one, and it is not hidden.
    """
    for folder, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in below:
            path = Path(folder) / name
            if path.is_symlink():
                raise FaithfulError(
                    f"Nothing was sent: {path} is a link to the folder {path.resolve()}; put the folder itself there, or"
                    " take the link away."
                )


def is_named(file: Path) -> bool:
    """Whether there is a file of a name, or a link that may lead nowhere: one that is to be looked at, not passed over."""
    return file.is_file() or file.is_symlink()


def measured(files: Iterable[tuple[str, Path]], root: Path) -> tuple[LocalFile, ...]:
    """Files on disk, by (path in the repository, file), hashed by a few threads in their order; see `LocalFile.on_disk`."""
    with ThreadPoolExecutor(HASHERS) as pool:
        return tuple(pool.map(lambda pair: LocalFile.on_disk(pair[0], pair[1], root), files))


def check_unchanged(files: Iterable[LocalFile]) -> None:
    """Refuse to go on where a file on disk is no longer the one that was measured.

    Raises:
        FaithfulError: it was written, taken away or made a link since.
    """
    for file in files:
        if isinstance(file.source, Path) and file.stamp != _stamp(file.source):
            raise FaithfulError(
                f"{file.source} changed while it was published, and nothing of that is visible; run the same command again."
            )


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError as error:
        raise FaithfulError(f"Cannot read {path}: {reason_of(error)}; run the same command again.") from error
    return found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino, found.st_mode


def _content(path: Path) -> bytes:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError as error:
        raise FaithfulError(f"Cannot read {path}: {reason_of(error)}; run the same command again.") from error


def _link_in(file: Path, root: Path) -> Path | None:
    """The first part of a file's name below a folder that is a link."""
    parts = [path for path in (*reversed(file.parents), file) if path != root and path.is_relative_to(root)]
    return next((path for path in parts if path.is_symlink()), None)
