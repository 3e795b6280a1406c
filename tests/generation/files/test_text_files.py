"""Which of the local files that were found are read."""

import gzip
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from generation.files.local_files import choose_split
from generation.files.text_files import _PIECE, TextFiles
from generation.sources.resolve import resolve_source
from generation.sources.rows import Rows

SPLITS = [
    ("train-00000-of-00001.parquet", "train"),
    ("data/test-00000-of-00002.parquet", "test"),
    ("c4-validation.00003-of-00008.json.gz", "validation"),
    ("dev/a.jsonl", "validation"),
    ("a_eval.jsonl", "test"),
    ("Training Set.csv", "train"),
    ("train/test1.jsonl", "train"),
    ("latest.jsonl", "train"),
    ("contest/devil.jsonl", "train"),
]


def files(root: Path, *names: str) -> list[Path]:
    return [root / name for name in names]


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_names_say_the_split(tmp_path: Path, name: str, split: str) -> None:
    other = "test.jsonl" if split != "test" else "train.jsonl"
    found = files(tmp_path, other, name)
    assert choose_split(tmp_path, found, split) == (split, [tmp_path / name])


def test_of_several_splits_train_is_read_unless_another_is_stated(tmp_path: Path) -> None:
    found = files(tmp_path, "extra.jsonl", "test-0.jsonl", "train-0.jsonl", "train-1.jsonl", "val.jsonl")
    assert choose_split(tmp_path, found, None) == (
        "train",
        files(tmp_path, "extra.jsonl", "train-0.jsonl", "train-1.jsonl"),
    )
    assert choose_split(tmp_path, found, "dev") == ("validation", files(tmp_path, "val.jsonl"))
    with pytest.raises(
        FaithfulError, match="has no split 'other'; it has train, test, validation: choose with --split"
    ):
        choose_split(tmp_path, found, "other")
    with pytest.raises(FaithfulError, match="has no split 'train'; it has test, validation"):
        choose_split(tmp_path, files(tmp_path, "test.jsonl", "val.jsonl"), None)


def test_files_of_one_split_are_all_read(tmp_path: Path) -> None:
    for names in (("a.txt", "train of thought.txt"), ("test-0.parquet", "test-1.parquet")):
        assert choose_split(tmp_path, files(tmp_path, *names), None) == (None, files(tmp_path, *names))
    assert choose_split(tmp_path, files(tmp_path, "test-0.parquet"), "test")[0] == "test"
    with pytest.raises(FaithfulError, match="has no split 'test'; it has train"):
        choose_split(tmp_path, files(tmp_path, "a.txt"), "test")


def test_a_single_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.touch()
    assert choose_split(path, [path], None) == (None, [path])
    with pytest.raises(FaithfulError, match="takes no --split"):
        choose_split(path, [path], "test")


@pytest.mark.parametrize(
    ("name", "first", "other"),
    [
        ("csv", "text,n\na,1\n", "body,n\nb,2\n"),
        ("tsv", "text\tn\na\t1\n", "Text\tn\nb\t2\n"),
        ("jsonl", '{"text": "a"}\n{"text": "b"}\n', '{"content": "a"}\n{"content": "b"}\n'),
        ("json", '[{"text": "a"}, {"text": "b"}]', '{"data": [{"body": "a"}, {"body": "b"}]}'),
    ],
)
def test_a_file_without_the_columns_of_the_others_is_named_and_not_left_out(
    tmp_path: Path, name: str, first: str, other: str
) -> None:
    (tmp_path / f"a.{name}").write_text(first)
    (tmp_path / f"b.{name}").write_text(other)
    with pytest.raises(FaithfulError, match=rf"b\.{name} has the columns .* and no text, as other files here have"):
        resolve_source(str(tmp_path))


def test_a_single_object_without_a_text_is_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "a"}')
    (tmp_path / "b.json").write_text('{"id": 2}')
    (tmp_path / "c.json").write_text('{"text": NaN}')
    rows = Rows(resolve_source(str(tmp_path)), 0)
    assert [row.text for row in rows] == ["a"]
    assert rows.dropped == {"empty": 2}


def test_that_a_text_is_a_text_is_known_without_reading_it() -> None:
    reader = TextFiles("text", [Path("nowhere/a.txt"), Path("nowhere/b.txt")], ["a.txt", "b.txt"])
    assert reader.columns() == ["text"] and reader.select(("text",)) is reader


@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_of_a_long_text_only_the_beginning_is_looked_at(tmp_path: Path, ending: str) -> None:
    """Its first piece ends within a character; what is no UTF-8 far behind it is said when it is read."""
    content = b"\xef\xbb\xbf" + b"a" * (_PIECE - 4) + "é".encode() * _PIECE + b"\xff"
    for name in "ab":
        path = tmp_path / f"{name}.{ending}"
        path.write_bytes(gzip.compress(content, 1) if ending.endswith("gz") else content)
    source = resolve_source(str(tmp_path), unit="document")
    reader = TextFiles("text", [path], [path.name])
    assert next(reader.rows(0, beginning=True)) == {"text": "a" * (_PIECE - 4)}
    with pytest.raises(FaithfulError, match="is not UTF-8 text"):
        list(Rows(source, 0))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"caf\xe9 noir", "is not UTF-8 text"),
        (b"short \xc3", "is not UTF-8 text"),
        (str(list(range(_PIECE))).encode(), "holds lists of numbers written as text"),
    ],
)
def test_what_the_beginning_of_a_text_shows_is_refused_before_work(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(FaithfulError, match=says):
        resolve_source(str(tmp_path / "a.txt"))
