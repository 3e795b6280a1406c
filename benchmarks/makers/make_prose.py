"""Freeze the prose: `python -m benchmarks.makers.make_prose Rdata.rdb OUT`, from the R package janeaustenr.

`Rdata.rdb` holds one zlib stream per novel, each a serialised character vector, one string per printed line. Lines are
kept as they stand; only the editor's note that closes *Northanger Abbey* is cut off, since Jane Austen did not write it.
"""

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

NOTE = "A NOTE ON THE TEXT"
TITLES = ("Emma", "Mansfield Park", "Northanger Abbey", "Persuasion", "Pride and Prejudice", "Sense and Sensibility")
_STRINGS, _STRING = 16, 9


def novels(rdb: bytes) -> dict[str, str]:
    """Title → text of each novel, in the order of the file.

    Raises:
        ValueError: the file holds other novels.
    """
    found = [list(strings(stream)) for stream in streams(rdb)]
    if [lines[0].upper() for lines in found] != [title.upper() for title in TITLES]:
        raise ValueError("this file does not hold the six novels of janeaustenr 1.0.0")
    return {title: "\n".join(without_note(lines)) + "\n" for title, lines in zip(TITLES, found, strict=True)}


def without_note(lines: list[str]) -> list[str]:
    """The lines up to the editor's note and the blank ones before it."""
    end = lines.index(NOTE) if NOTE in lines else len(lines)
    while not lines[end - 1]:
        end -= 1
    return lines[:end]


def streams(rdb: bytes) -> Iterator[bytes]:
    """The unpacked objects of a lazy-load database: each a big-endian length and a zlib stream of that many bytes."""
    while rdb:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(rdb[4:])
        if len(content) != struct.unpack(">i", rdb[:4])[0]:
            raise ValueError("an object of the database is damaged")
        yield content
        rdb = unpacker.unused_data


def strings(stream: bytes) -> Iterator[str]:
    """The elements of a character vector in R's XDR serialisation."""
    place = 2

    def number() -> int:
        nonlocal place
        place += 4
        return int(struct.unpack_from(">i", stream, place - 4)[0])

    version, _, _ = number(), number(), number()
    if version == 3:
        size = number()
        place += size  # the name of the native encoding
    if stream[:2] != b"X\n" or number() & 255 != _STRINGS:
        raise ValueError("an object of the database is no character vector")
    for _ in range(number()):
        if number() & 255 != _STRING:
            raise ValueError("an element of the vector is no string")
        size = number()
        place += size
        yield stream[place - size : place].decode()


def main() -> None:
    rdb, out = map(Path, sys.argv[1:])
    lines = [json.dumps({"path": title, "text": text}) + "\n" for title, text in novels(rdb.read_bytes()).items()]
    out.write_bytes(zstandard.ZstdCompressor(level=19).compress("".join(lines).encode()))


if __name__ == "__main__":
    main()
