"""Folders as they lie on people's disks: what describes a set, its licence and its caches are no data."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from generation.configs.add import AddConfig
from generation.external.add import add
from generation.files.local_files import find_files, passed_over, saved_files
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows

INFO = {
    "default": {"features": {"text": {"dtype": "string", "_type": "Value"}}, "splits": {"train": {"name": "train"}}}
}


def texts(what: str, count: int = 60) -> list[str]:
    return [f"The {what} text number {i} tells of a small boat by the river and its keeper." for i in range(count)]


def write(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": rows}), path)
    elif path.suffix == ".txt":
        path.write_text("\n\n".join(rows))
    else:
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))


def save(folder: Path, rows: list[str]) -> Path:
    from datasets import Dataset

    Dataset.from_dict({"text": rows}).save_to_disk(str(folder))
    return folder


def read(folder: Path, **options: Any) -> list[str]:
    return [row.text for row in Rows(resolve_source(str(folder), **options), 0)]


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "txt"])
def test_a_cloned_set_is_read_without_what_describes_it(tmp_path: Path, ending: str) -> None:
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.{ending}", texts(split))
    (tmp_path / "README.md").write_text("# Boats\n")
    for name in ("dataset_infos.json", "data/dataset_info.json", "config.json"):
        (tmp_path / name).write_text(json.dumps(INFO))
    for name in (
        "LICENSE.txt",
        "licence-mit.txt",
        "NOTICE.txt",
        "data/README.txt",
        "requirements.txt",
        "sha256sums.txt",
    ):
        (tmp_path / name).write_text("All rights reserved.\n")
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "_delta_log" / "000.json").write_text("{}")
    found = read(tmp_path)
    assert found
    assert "\n".join(found).count("train text number") == 60
    assert not any("rights" in text or "test text" in text for text in found)
    said = resolve_source(str(tmp_path)).provenance()["remarks"]
    assert said.startswith("not read, since they describe the set or are a cache: LICENSE.txt")
    assert "and 4 more" in said


def test_names_that_only_resemble_are_data(tmp_path: Path) -> None:
    names = ("license to kill.txt", "readmes/a.txt", "authorship.txt", "noticed.txt", "my-LICENSE.txt", "citations.txt")
    for name in names[1:]:
        write(tmp_path / name, texts(name, 2))
    assert len(find_files(tmp_path)[1]) == 5
    assert passed_over(tmp_path) == []
    (tmp_path / "states" / "state.json").parent.mkdir()
    (tmp_path / "states" / "state.json").write_text('{"text": "Ohio"}\n')
    assert read(tmp_path / "states") == ["Ohio"]


def test_a_folder_of_descriptions_alone_is_refused_and_each_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("All rights reserved.")
    with pytest.raises(FaithfulError, match=r"holds nothing but LICENSE\.txt, which describe a data set"):
        find_files(tmp_path)
    assert read(tmp_path / "LICENSE.txt") == ["All rights reserved."]


def test_the_cache_folder_of_the_library_is_read_without_its_caches(tmp_path: Path) -> None:
    saved = save(tmp_path / "boats", texts("train"))
    (saved / "state.json").unlink()
    (saved / "data-00000-of-00001.arrow").rename(saved / "boats-train.arrow")
    (saved / "cache-0123456789abcdef.arrow").write_bytes((saved / "boats-train.arrow").read_bytes())
    (saved / "tmpab12cd34.arrow").write_bytes(b"half")
    assert sorted(read(saved)) == sorted(texts("train"))


def test_saved_folders_beside_each_other_are_read_together(tmp_path: Path) -> None:
    for part in ("first", "second"):
        saved = save(tmp_path / part, texts(part))
        (saved / "cache-0123456789abcdef.arrow").write_bytes((saved / "data-00000-of-00001.arrow").read_bytes())
    assert sorted(read(tmp_path)) == sorted(texts("first") + texts("second"))


@pytest.mark.parametrize("touch", ["map", "filter", "sort", "shuffle"])
def test_a_corpus_grows_after_the_library_left_its_cache_beside_it(tmp_path: Path, touch: str) -> None:
    from datasets import load_from_disk

    saved, out = save(tmp_path / "saved", texts("train", 300)), tmp_path / "corpus"
    before = saved_files(saved)
    add(AddConfig(str(saved), tokens=700, held_out=100, out=out))
    loaded = load_from_disk(str(saved))
    calls = {
        "map": [lambda row: {"n": len(row["text"])}],
        "filter": [lambda row: True],
        "sort": ["text"],
        "shuffle": [3],
    }
    getattr(loaded, touch)(*calls[touch])
    assert sorted(saved.iterdir()) != before
    assert saved_files(saved) == before
    assert add(AddConfig(str(saved), tokens=1500, out=out)).manifest.tokens() >= 1500


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("{", r"state\.json cannot be read \(JSONDecodeError\)"),
        ("{}", r"cannot be read \(KeyError\)"),
        ("[]", r"cannot be read \(TypeError\)"),
        ("[" * 100_000, r"cannot be read \(RecursionError\)"),
        ('{"_data_files": [{"filename": "../other.arrow"}]}', r"cannot be read \(ValueError\)"),
        ('{"_data_files": [{"filename": "gone.arrow"}]}', r"lacks gone\.arrow"),
    ],
)
def test_a_saved_folder_whose_state_tells_nothing_is_refused_by_name(tmp_path: Path, state: str, said: str) -> None:
    saved = save(tmp_path / "saved", texts("train"))
    (saved / "state.json").write_text(state)
    with pytest.raises(FaithfulError, match=said):
        resolve_source(str(saved))


@pytest.mark.parametrize(
    "splits", ["{", "{}", "[" * 100_000, '{"splits": []}', '{"splits": ["../elsewhere"]}', '{"splits": 3}']
)
def test_splits_that_cannot_be_told_are_refused_by_name(tmp_path: Path, splits: str) -> None:
    save(tmp_path / "train", texts("train"))
    (tmp_path / "dataset_dict.json").write_text(splits)
    with pytest.raises(FaithfulError, match=r"dataset_dict\.json (cannot be read|names no splits)"):
        resolve_source(str(tmp_path))


def test_a_saved_row_that_names_a_picture_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, Value, load_from_disk

    asked: list[str] = []
    with foreign_host(asked) as address:
        picture = Features(text={"bytes": Value("binary"), "path": Value("string")})
        rows = {"text": [{"bytes": None, "path": f"{address}/a.png"}]}
        Dataset.from_dict(rows, features=picture).save_to_disk(str(tmp_path / "saved"))
        info = tmp_path / "saved" / "dataset_info.json"
        info.write_text(json.dumps(json.loads(info.read_text()) | {"features": {"text": {"_type": "Image"}}}))
        assert load_from_disk(str(tmp_path / "saved")).features == Features(text=Image())
        with pytest.raises(FaithfulError, match=r"structures \(dict\)"):
            resolve_source(str(tmp_path / "saved"))
    assert asked == []


@contextmanager
def foreign_host(asked: list[str]) -> Iterator[str]:
    """A server that notes what it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
