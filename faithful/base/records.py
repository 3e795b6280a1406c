"""Records: JSON files that are read again. One reader for all, which gives a record as it was written or refuses it.

A record of our own carries `record_sha256`, the hash of all else that it says, so that an edit or a flipped bit anywhere in
it is noticed; one written before that was so is compared with its shape alone.
"""

import fcntl
import json
import math
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import lock_file, open_own, reason_of, write_json
from faithful.base.shapes import Misfit, check

R = TypeVar("R")
SEAL = "record_sha256"
MOST_BYTES = 256 << 20
DEEPEST = 64
AGAIN = "delete it and run what made it again"


class MissingKey(FaithfulError, KeyError):
    """A key that a record of this version would have."""

    def __str__(self) -> str:
        return str(self.args[0])


class Part(dict[str, Any]):
    """An object of a record: a key that is asked for and missing is a sentence with the file and the key.

    Attributes:
        place: the file and the object's place in it.
    """

    place = ""

    def __missing__(self, key: str) -> Any:
        raise MissingKey(f"`{key}` is missing in {self.place or 'a record'}; restore the file, or {AGAIN}.")


def read_record(path: Path, shape: type[R], mend: str = AGAIN) -> R:
    """A record, checked before any of it is used; without its seal.

    Args:
        path: of the file.
        shape: what it must look like, see `faithful.base.shapes`: a TypedDict, or a `dict`.
        mend: what to do about one that is damaged, as the end of a sentence.

    Raises:
        FaithfulError: it is not there, no plain file, larger than 256 MiB, no JSON, nested more than 64 deep, states a key
            twice, holds a number that is not finite or text that is no Unicode, was edited, or does not fit its shape.
    """
    return parse_record(read_bytes(path, mend), shape, str(path), mend)


def read_cache(path: Path, shape: type[R] = dict) -> R | None:  # type: ignore[assignment]
    """A record that is made anew where it is not there: None then, and for one of a version that did not seal it.

    Raises:
        FaithfulError: it is there and damaged, see `read_record`.
    """
    if not path.exists():
        return None
    content = read_bytes(path)
    values = parse_json(content, str(path))
    if not isinstance(values, dict) or SEAL not in values:
        return None
    return parse_record(content, shape, str(path))


def check_archive(path: Path, mend: str = AGAIN, *, tensors: bool = True) -> None:
    """Compare the parts of a file of `torch.save` or `numpy.savez` with the CRC-32 that it holds of each, which
    `torch.load` does not; without `tensors` only what is said of them.

    Raises:
        FaithfulError: they differ, or it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if not tensors:
                for name in archive.namelist():
                    if name.endswith(".pkl"):
                        archive.read(name)
                return
            if archive.testzip() is None:
                return
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        pass
    raise _damaged(str(path), "its content does not match its checksums", mend)


def parse_record(content: bytes | str, shape: type[R], where: str, mend: str = AGAIN) -> R:
    """The same for what stands in a record; `where` names it in messages."""
    values = parse_json(content, where, mend)
    if not isinstance(values, dict):
        raise _damaged(where, "it is no object", mend)
    seal = values.pop(SEAL, None)
    if seal is not None and seal != seal_of(values):
        raise FaithfulError(f"{where} was edited or damaged: its content does not match its `{SEAL}`; {mend}.")
    fit(values, shape, where, mend)
    found: R = _parts(values, where)
    return found


def fit(values: Any, shape: Any, where: str, mend: str = AGAIN, key: str = "") -> None:
    """Compare values with their shape.

    Raises:
        FaithfulError: they do not fit; names the file and the key.
    """
    try:
        check(values, shape, key)
    except Misfit as error:
        raise _damaged(where, str(error), mend) from None


def parse_json(content: bytes | str, where: str, mend: str = AGAIN) -> Any:
    """Any value of JSON, as strictly as a record's."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        values = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        _refuse_odd(values)
    except RecursionError:
        raise _damaged(where, "it is nested too deeply", mend) from None
    except ValueError as error:
        raise _damaged(where, _reason(error), mend) from None
    return values


def read_toml(path: Path, mend: str) -> dict[str, Any]:
    """A file of TOML, within the same limits.

    Raises:
        FaithfulError: it cannot be read, or is no such TOML.
    """
    content = read_bytes(path, mend)
    try:
        values = tomllib.loads(content.decode("utf-8-sig"))
        _refuse_odd(values)
    except RecursionError:
        raise _damaged(str(path), "it is nested too deeply", mend) from None
    except ValueError as error:
        raise FaithfulError(f"Cannot read {path}: {_reason(error)}; {mend}.") from None
    return values


def read_text(path: Path, mend: str = "save it as UTF-8, or delete it") -> str:
    """A text file, within the same limits; byte order mark and Windows' line ends are left out.

    Raises:
        FaithfulError: it cannot be read, or is no UTF-8.
    """
    try:
        return read_bytes(path, mend).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise _damaged(str(path), "it is no text in UTF-8", mend) from None


def read_bytes(path: Path, mend: str = AGAIN) -> bytes:
    """Content of a plain file that is no larger than a record may be.

    Raises:
        FaithfulError: it is something else, or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise FaithfulError(f"Cannot read {path}: it is no file; {mend}.")
        if found.st_size > MOST_BYTES:
            raise FaithfulError(f"Cannot read {path}: it has {found.st_size:,} bytes, more than any record; {mend}.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise FaithfulError(f"Cannot read {path}: {reason}; {mend}.") from error


def write_record(path: Path, values: Mapping[str, Any]) -> None:
    """Atomically write a record with its seal, which comes last."""
    write_json(path, sealed(values))


def record_bytes(values: Mapping[str, Any]) -> bytes:
    """What `write_record` writes."""
    return (json.dumps(sealed(values), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def sealed(values: Mapping[str, Any]) -> Mapping[str, object]:
    """A record with its seal."""
    plain = {name: value for name, value in values.items() if name != SEAL}
    as_read = json.loads(json.dumps(plain, allow_nan=False))
    return plain | {SEAL: seal_of(as_read)}


def seal_of(values: Any) -> str:
    """SHA-256 of a value's JSON, whatever the order of its keys and its blanks."""
    return digest(values, is_compact=True)


def update_record(
    path: Path, shape: type[dict[str, R]], change: Callable[[dict[str, R]], Mapping[str, R]], mend: str = AGAIN
) -> None:
    """Read a record that several processes share, change it and write it, while no other process does so.

    Args:
        path: of the record; one that is not there is empty.
        shape: see `read_record`.
        change: gives the record anew from the old one; where they are equal nothing is written.
        mend: see `read_record`.

    Raises:
        FaithfulError: it cannot be read or written.
    """
    with turn(path):
        known = read_record(path, shape, mend) if path.exists() else {}
        found = change(dict(known))
        if found != known:
            write_record(path, found)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the record's lock, which the kernel frees when its holder dies; it is held for a read and a write alone.

    Raises:
        FaithfulError: it cannot be locked.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = open_own(lock)
    except OSError as error:
        raise FaithfulError(f"Cannot write {path}: {reason_of(error)}; free space or fix the folder.") from error
    with file:
        lock_file(file, lock, fcntl.LOCK_EX)
        yield


def _reason(error: ValueError) -> str:
    """What is wrong with a text that is no JSON or TOML, in a line."""
    if isinstance(error, UnicodeError):
        return "it holds bytes or halves of characters that are no text"
    if "integer string conversion" in str(error):
        return "it holds a number of thousands of digits"
    return str(error)


def _damaged(where: str, reason: str, mend: str) -> FaithfulError:
    return FaithfulError(f"Cannot read {where}: it is damaged ({reason}); {mend}.")


def _parts(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        part = Part((name, _parts(inner, f"{place}: {name}")) for name, inner in value.items())
        part.place = place
        return part
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        return [_parts(inner, place) for inner in value]
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it states {next(name for name in names if names.count(name) > 1)!a} twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _refuse_odd(values: Any) -> None:
    """Numbers that are not finite (1e999), halves of characters but those that stand for the bytes of a file's name, and
    depth."""
    level, depth = [values], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise RecursionError
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, float):
                if not math.isfinite(value):
                    raise ValueError("it holds a number that is not finite")
            elif isinstance(value, str) and not value.isascii():
                value.encode(errors="surrogateescape")
        level = below
