"""Tasks read from files and saved sets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from studies.probes.tasks.examples import Draw
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import find_task
from tests.studies.probes.data import DRAW, RNG, no_text, write_csv


def rows_of(count: int, groups: int = 12) -> list[dict[str, Any]]:
    rng = RNG(8)
    return [
        {
            "review": f"text {number} {'bad' if label else 'good'}",
            "stars": int(label),
            "shop": f"s{number % groups}",
            "n": 1,
        }
        for number, label in enumerate(rng.integers(0, 2, count))
    ]


def test_csv_and_parquet_give_the_same_task_in_any_order(tmp_path: Path) -> None:
    rows = rows_of(90)
    table = write_csv(tmp_path / "reviews.csv", rows)
    pq.write_table(pa.Table.from_pylist(rows[::-1] + rows[:30]), tmp_path / "reviews.parquet")
    one = load_task(find_task(f"{table}:review:stars"), DRAW, no_text())
    other = load_task(find_task(str(tmp_path / "reviews.parquet"), "review", "stars"), DRAW, no_text())
    assert one.task.name == "reviews" and one.labels == ("0", "1") and one.train.groups is None
    assert one.sha256 == other.sha256 and one.revision != other.revision
    assert not set(one.train.texts) & set(one.test.texts) and len(set(one.train.texts)) == len(one.train.texts) <= 40
    assert 10 <= len(one.test.y) <= 20
    for text, label in zip(one.train.texts, one.train.y, strict=True):
        assert label == ("bad" in text)
    elsewhere = load_task(find_task(f"{table}:review:stars"), replace(DRAW, seed=1), no_text())
    assert set(elsewhere.test.texts) != set(one.test.texts)


def test_no_group_is_on_both_sides(tmp_path: Path) -> None:
    rows = rows_of(200, groups=25)
    data = load_task(
        find_task(f"{write_csv(tmp_path / 'r.csv', rows)}:review:stars:shop"), Draw(400, 200, 0, 4), no_text()
    )
    assert data.train.groups and data.test.groups
    assert not set(data.train.groups) & set(data.test.groups)
    assert len(data.train.y) + len(data.test.y) == 200
    shops = {row["review"]: row["shop"] for row in rows}
    assert [shops[text] for text in data.test.texts] == data.test.groups


def test_a_saved_set_is_read_by_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def part(name: str, count: int, label: int | None = None) -> Any:
        labels = [number % 2 if label is None else label for number in range(count)]
        feature = datasets.ClassLabel(names=["no", "yes"])
        texts = [f"{name} {number}" for number in range(count)]
        made = datasets.Dataset.from_dict({"text": texts, "label": labels})
        return made if label is not None else made.cast_column("label", feature)

    folder = tmp_path / "saved"
    validation = datasets.concatenate_datasets([part("validation", 30), part("train", 6)])
    splits = {"train": part("train", 50), "test": part("test", 9, -1), "validation": validation}
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    data = load_task(find_task(str(folder)), Draw(100, 100, 0, 4), no_text())
    assert len(data.test.y) == 36 and len(data.train.y) == 44
    assert data.left_out == {"also among the test examples": 6}
    assert data.labels == ("0", "1")


@pytest.mark.parametrize("labels", [("-1", "1"), ("-1", "0", "1")])
def test_minus_one_is_a_class_where_classes_have_no_names(tmp_path: Path, labels: tuple[str, ...]) -> None:
    rows = [row | {"stars": int(labels[place % len(labels)])} for place, row in enumerate(rows_of(90))]
    by_text = {row["review"]: str(row["stars"]) for row in rows}
    table = write_csv(tmp_path / "r.csv", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for path in (table, tmp_path / "r.parquet"):
        data = load_task(find_task(f"{path}:review:stars"), DRAW, no_text())
        assert data.labels == labels and not data.left_out
        for side in (data.train, data.test):
            assert [labels[y] for y in side.y] == [by_text[text] for text in side.texts]


def test_rows_without_a_number_as_label_are_left_out(tmp_path: Path) -> None:
    stars = [float("nan") if place % 6 == 0 else float(place % 2) for place in range(90)]
    rows = [row | {"stars": value} for row, value in zip(rows_of(90), stars, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    data = load_task(find_task(f"{tmp_path / 'r.parquet'}:review:stars"), DRAW, no_text())
    assert data.labels == ("0", "1") and data.left_out == {"no label": 15}


def test_minus_one_of_a_named_class_is_no_label_and_groups_of_a_saved_set_are_kept_apart(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def part(name: str, count: int, users: int) -> Any:
        columns = {
            "text": [f"{name} {number}" for number in range(count)],
            "label": [number % 3 - 1 for number in range(count)],
            "user": [f"u{number % users}" if number % 5 else None for number in range(count)],
        }
        return datasets.Dataset.from_dict(columns).cast_column("label", datasets.ClassLabel(names=["no", "yes"]))

    folder = tmp_path / "saved"
    datasets.DatasetDict({"train": part("train", 90, 10), "test": part("test", 30, 4)}).save_to_disk(str(folder))
    plain = load_task(find_task(str(folder)), Draw(100, 100, 0, 4), no_text())
    assert plain.labels == ("0", "1") and plain.left_out == {"no label": 30 + 10} and plain.train.groups is None
    assert (len(plain.train.y), len(plain.test.y)) == (60, 20)
    data = load_task(find_task(f"{folder}:text:label:user"), Draw(100, 100, 0, 4), no_text())
    assert data.train.groups and data.test.groups and not set(data.train.groups) & set(data.test.groups)
    assert data.left_out["of a group among the test examples"] == 60 - len(data.train.y) > 0
    assert {group for group in data.train.groups if group.startswith("u")} == {"u4", "u6", "u7", "u8", "u9"}
    alone = [group for group in data.train.groups if not group.startswith("u")]
    assert len(alone) == len(set(alone)) == 12


def test_drawn_examples_are_kept_until_something_changes(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "reviews.csv", rows_of(90))
    task = find_task(f"{table}:review:stars")
    first = load_task(task, DRAW, no_text(), tmp_path / "tasks")
    kept = list((tmp_path / "tasks").iterdir())
    again = load_task(task, DRAW, no_text(), tmp_path / "tasks")
    assert again.sha256 == first.sha256 and again.left_out == first.left_out and len(kept) == 1
    write_csv(table, rows_of(80))
    assert load_task(task, DRAW, no_text(), tmp_path / "tasks").sha256 != first.sha256
    assert len(list((tmp_path / "tasks").iterdir())) == 2


def test_contradicting_rows_of_a_file_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = rows_of(90)
    both = rows + [row | {"stars": 1 - row["stars"]} for row in rows[:20]]
    wish = f"{tmp_path / 'reviews.csv'}:review:stars"
    found = []
    for given in (both, both[::-1]):
        write_csv(tmp_path / "reviews.csv", given)
        data = load_task(find_task(wish), DRAW, no_text())
        found.append((data.train.texts, data.train.y.tolist(), data.test.texts, data.test.y.tolist(), data.left_out))
    assert found[0] == found[1]
    assert not {row["review"] for row in rows[:20]} & {*found[0][0], *found[0][2]}
    assert found[0][4]["texts that the set gives different classes"] > 0
    clash = [row | {"shop": "other", "stars": 1 - row["stars"]} for row in rows]
    write_csv(tmp_path / "reviews.csv", rows + clash)
    with pytest.raises(FaithfulError, match=r"no two classes|training examples of the class|nothing to test on"):
        load_task(find_task(wish + ":shop"), DRAW, no_text())


@pytest.mark.parametrize(
    ("rows", "wish", "sentence"),
    [
        (rows_of(60), ":review:grade", "has no column 'grade'; it has review, stars, shop, n"),
        (rows_of(60), ":content:stars", "has no column 'content'"),
        (rows_of(60), ":review", "does not name its columns"),
        (rows_of(60), ":review:n", "no two classes"),
        ([row | {"stars": -1} for row in rows_of(60)], ":review:stars", "no two classes"),
        ([row | {"stars": 0.5} for row in rows_of(60)], ":review:stars", "holds 0.5 .* names no class"),
        (rows_of(60), ":stars:review", "holds numbers, such as"),
        (
            [row | {"stars": int(place < 4)} for place, row in enumerate(rows_of(60))],
            ":review:stars",
            "4 folds need as many",
        ),
    ],
)
def test_files_that_make_no_task_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], wish: str, sentence: str
) -> None:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made.parquet")
    with pytest.raises(FaithfulError, match=sentence):
        load_task(find_task(f"{tmp_path / 'made.parquet'}{wish}"), DRAW, no_text())
