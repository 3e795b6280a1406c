"""The frozen texts: what they are, where they are from, and that they are enough."""

import hashlib
import json
import struct
import tomllib
import zlib
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import pytest
import zstandard

import faithful
from benchmarks.makers import make_prose as freeze
from tests.faithful.embedded.documents import documents

TEXTS = Path(str(resources.files("faithful.embedded") / "texts"))
PACKED = (TEXTS / "prose.jsonl.zst").read_bytes()
LINES = zstandard.ZstdDecompressor().decompress(PACKED, max_output_size=2**30)
NOVELS = {novel["path"]: novel["text"] for novel in map(json.loads, LINES.splitlines())}


def test_the_prose_is_what_its_note_says() -> None:
    note = (TEXTS / "PROVENANCE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(PACKED).hexdigest() in note
    assert hashlib.sha256(LINES).hexdigest() in note
    assert "Copyright (c) 2016–2017 Julia Silge" in note
    assert tuple(NOVELS) == freeze.TITLES
    assert sum(map(len, NOVELS.values())) > 4_000_000
    assert NOVELS["Pride and Prejudice"].count("a truth universally acknowledged") == 1
    assert not any(freeze.NOTE in text or "Signet" in text for text in NOVELS.values())
    assert NOVELS["Northanger Abbey"].endswith("*Vide a letter from Mr. Richardson, No. 97, Vol. II, Rambler.\n")


def test_the_package_ships_them() -> None:
    project = Path(faithful.__file__).parent.parent / "pyproject.toml"
    patterns = tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]["faithful.embedded"]
    for name in ("texts/prose.jsonl.zst", "texts/PROVENANCE.md", "tiny/stdlib.jsonl.zst", "tiny/stdlib_seen.txt"):
        assert Path(str(resources.files("faithful.embedded") / name)).is_file()
        assert any(fnmatch(name, pattern) for pattern in patterns)


def serialised(lines: list[str], version: int = 3) -> bytes:
    """A character vector as R writes it."""
    native = struct.pack(">i", 5) + b"UTF-8" if version == 3 else b""
    head = b"X\n" + struct.pack(">iii", version, 262657, 197888) + native + struct.pack(">ii", 16, len(lines))
    coded = [line.encode() for line in lines]
    stream = head + b"".join(struct.pack(">ii", 0x00040009, len(line)) + line for line in coded)
    return struct.pack(">i", len(stream)) + zlib.compress(stream)


def test_freezing_reads_what_r_writes() -> None:
    vectors = [[title.upper(), "", f"Line of {title}.", "£5 — so"] for title in freeze.TITLES]
    vectors[2] += ["", "", freeze.NOTE, "", "The Signet Classic text is based on …"]
    found = freeze.novels(
        b"".join(serialised(lines, version) for lines, version in zip(vectors, [3, 2] * 3, strict=True))
    )
    assert list(found) == list(freeze.TITLES)
    for title, text in found.items():
        assert text == f"{title.upper()}\n\nLine of {title}.\n£5 — so\n"


def test_freezing_refuses_other_files() -> None:
    other = b"".join(serialised([title]) for title in reversed(freeze.TITLES))
    with pytest.raises(ValueError, match="does not hold the six novels"):
        freeze.novels(other)
    damaged = struct.pack(">i", 7) + zlib.compress(b"X\n")
    with pytest.raises(ValueError, match="damaged"):
        freeze.novels(damaged)
    number = b"X\n" + struct.pack(">iiiii", 2, 1, 1, 13, 1)
    with pytest.raises(ValueError, match="no character vector"):
        freeze.novels(struct.pack(">i", len(number)) + zlib.compress(number))


@pytest.mark.parametrize("name", ["stdlib", "prose"])
def test_each_gives_enough_tokens_for_tiny_in_short_passages(name: str) -> None:
    tokens = {"train": 0, "test": 0}
    for window in documents(name):
        for unit in window.units:
            assert 0 < len(unit.token_ids) <= 127
            tokens[unit.split] += len(unit.token_ids)
    assert tokens["train"] >= 400_000
    assert tokens["test"] >= 60_000
