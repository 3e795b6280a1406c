"""What a source is: its identity and what is known of it."""

import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest

from generation.sources.resolve import resolve_source
from tests.generation.sources.written import ENTRIES, folder_of, write


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.kind != "package"])
def test_identity_and_provenance_are_json_and_name_no_path(name: str) -> None:
    source = ENTRIES[name]
    if source.kind == "embedded":
        source = resolve_source(name)
    text = json.dumps(source.identity())
    assert json.loads(text) == source.identity()
    assert str(Path(str(resources.files("faithful")))) not in text + json.dumps(source.provenance())


def test_identity_holds_the_content_and_not_the_place(tmp_path: Path) -> None:
    folder_of(tmp_path / "a", ".jsonl", files=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (resolve_source(str(tmp_path / name)) for name in "ab")
    digest = hashlib.sha256((tmp_path / "a" / "part-00.jsonl").read_bytes()).hexdigest()
    assert first.identity() == second.identity()
    assert first.identity()["files"]["part-00.jsonl"] == digest
    assert first.provenance()["path"] == str(tmp_path / "a")
    assert second.identity() != resolve_source(str(tmp_path / "b"), template="{text} {n}").identity()
    assert second.identity() != resolve_source(str(tmp_path / "b"), unit="passage").identity()
    write(tmp_path / "b" / "part-01.jsonl", ["something else"])
    assert first.identity() != resolve_source(str(tmp_path / "b")).identity()
