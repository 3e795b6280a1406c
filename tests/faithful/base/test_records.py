"""The reader of records: limits, seals, shapes, caches, and changes by several processes at once."""

import json
import multiprocessing
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically, write_tensors
from faithful.base.records import check_archive, read_cache, read_record, read_toml, sealed, update_record, write_record
from tests.mutations import flip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "not finite"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (b"[" * 300_000, "nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "thousands of digits"),
        (b'{"a": "\\ud800"}', "no text"),
        (b"\xff", "no text"),
        (b"[1]", "no object"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_no_record_is_one_sentence_with_its_file(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FaithfulError, match=rf"a\.json.*{said}.*; mend it") as caught:
        read_record(path, dict, "mend it")
    assert "\n" not in str(caught.value)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json", "nothing.json", "nul\0.json"):
        with pytest.raises(FaithfulError, match="Cannot read"):
            read_record(tmp_path / name, dict)


def test_the_largest_record_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path / "a.json", {"a": "x" * 200})
    monkeypatch.setattr("faithful.base.records.MOST_BYTES", 100)
    with pytest.raises(FaithfulError, match="more than any record"):
        read_record(tmp_path / "a.json", dict)


def test_a_seal_holds_whatever_the_layout_and_notices_every_edit(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    values = {"b": [1, 2.5, None], "a": {7: "ä", "x": (1, 2)}}
    write_record(path, values)
    expected = {"b": [1, 2.5, None], "a": {"7": "ä", "x": [1, 2]}}
    assert read_record(path, dict) == expected
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_record(path, dict) == expected
    path.write_text(path.read_text().replace("2.5", "2.75"))
    with pytest.raises(FaithfulError, match="was edited or damaged"):
        read_record(path, dict)
    path.write_text(json.dumps(expected))
    assert read_record(path, dict) == expected and sealed(sealed(expected)) == sealed(expected)


def test_a_missing_key_says_where_when_it_is_asked_for(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", {"model": {"name": "x"}})
    found = read_record(tmp_path / "a.json", dict)
    assert found["model"].get("bos_id") is None
    with pytest.raises(FaithfulError, match=r"`bos_id` is missing in .*a\.json: model") as caught:
        found["model"]["bos_id"]
    assert isinstance(caught.value, KeyError) and "\n" not in str(caught.value)


def test_caches_are_made_anew_without_a_seal_and_refused_where_they_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_cache(path) is None
    path.write_text('{"entries": [1]}')
    assert read_cache(path) is None
    write_record(path, {"entries": [1]})
    assert read_cache(path) == {"entries": [1]}
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(FaithfulError, match="delete it and run what made it again"):
        read_cache(path)


def test_toml_has_the_same_limits(tmp_path: Path) -> None:
    for number, content in enumerate((b"a = nan", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"\xff", b"a = [")):
        path = tmp_path / f"{number}.toml"
        path.write_bytes(content)
        with pytest.raises(FaithfulError, match=r"\.toml.*; mend it") as caught:
            read_toml(path, "mend it")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_flipped_bits_in_tensors_on_disk_are_noticed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    numbers = np.arange(300.0)
    if kind == "torch":
        write_tensors(path, {"a": torch.from_numpy(numbers)})
    else:
        write_atomically(path, lambda place: np.savez(place.open("wb"), a=numbers))
    check_archive(path)
    content, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(60):
        path.write_bytes(flip(content, draw))
        try:
            check_archive(path)
        except FaithfulError:
            refused += 1
            continue
        found = torch.load(path, weights_only=True)["a"].numpy() if kind == "torch" else np.load(path)["a"]
        assert np.array_equal(found, numbers)
    assert refused > 30


def add_one(path: Path, name: str, times: int) -> None:
    for turn in range(times):
        update_record(path, dict[str, int], lambda known, key=f"{name}{turn}": known | {key: 1})  # type: ignore[misc]


def test_changes_by_several_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_one, args=(path, name, 20)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(read_record(path, dict[str, int])) == 60


def test_a_lock_that_is_a_link_changes_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("as it was")
    (tmp_path / ".a.json.lock").symlink_to(other)
    with pytest.raises(FaithfulError, match="Cannot write"):
        update_record(tmp_path / "a.json", dict, lambda known: {"a": 1})
    assert other.read_text() == "as it was"
