"""Texts with two labels: drawn alike, balanced, and refused where they say too little."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.interventions.examples import load_pair

NO_TEXT: Any = None


def table(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"{path}:text:job:person"


def rows(count: int = 400) -> list[dict[str, Any]]:
    return [
        {"text": f"text {n}", "job": ("nurse", "professor")[n % 2], "person": ("a", "b")[n // 2 % 2]}
        for n in range(count)
    ]


def test_each_crossing_is_there_as_often_and_twice_where_the_labels_agree(tmp_path: Path) -> None:
    found = load_pair(table(tmp_path, rows()), 12, 10, 0, NO_TEXT)
    assert found.labels == ("job", "person")
    counts = [np.bincount(found.crossing[found.is_test == side], minlength=4).tolist() for side in (False, True)]
    assert counts == [[24, 12, 12, 24], [10, 10, 10, 10]]
    assert np.bincount(found.crossing[found.balanced(False)]).tolist() == [12] * 4
    assert np.bincount(found.crossing[found.biased()], minlength=4).tolist() == [24, 0, 0, 24]
    again = load_pair(table(tmp_path, rows()[::-1]), 12, 10, 0, NO_TEXT)
    assert again.texts == found.texts and (again.values == found.values).all()
    assert load_pair(table(tmp_path, rows()), 12, 10, 1, NO_TEXT).texts != found.texts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"job": "nurse"}, "label job of .* has 1 value and SCR needs two"),
        ({"person": "a"}, "label person of .* has 1 value"),
    ],
)
def test_a_label_of_one_class_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=said):
        load_pair(table(tmp_path, [row | change for row in rows()]), 12, 10, 0, NO_TEXT)


def test_a_text_with_one_label_alone_is_refused(tmp_path: Path) -> None:
    some = rows()
    some[5] |= {"person": None}
    with pytest.raises(FaithfulError, match="a text with one label and none in 'person'; fill it in"):
        load_pair(table(tmp_path, some), 12, 10, 0, NO_TEXT)
    some[5] |= {"job": None}
    assert load_pair(table(tmp_path, some), 12, 10, 0, NO_TEXT).labels == ("job", "person")


def test_three_values_missing_columns_and_empty_crossings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match="has 3 values"):
        load_pair(table(tmp_path, [*rows(), {"text": "x", "job": "poet", "person": "a"}]), 12, 10, 0, NO_TEXT)
    with pytest.raises(FaithfulError, match="no column 'person'"):
        load_pair(table(tmp_path, [{"text": "x", "job": "poet"}]), 12, 10, 0, NO_TEXT)
    alike = [row for row in rows() if (row["job"] == "nurse") == (row["person"] == "a")]
    with pytest.raises(FaithfulError, match="has 0 training texts with job nurse and person b"):
        load_pair(table(tmp_path, alike), 12, 10, 0, NO_TEXT)


def test_a_text_with_different_labels_is_left_out(tmp_path: Path) -> None:
    other = {"nurse": "professor", "professor": "nurse"}
    contradicted = [row | {"text": f" {row['text']} ", "job": other[row["job"]]} for row in rows(40)]
    found = load_pair(table(tmp_path, [*rows(), *contradicted]), 12, 10, 0, NO_TEXT)
    assert not {row["text"] for row in rows(40)} & {text.strip() for text in found.texts}
    assert found.texts == load_pair(table(tmp_path, rows()[40:]), 12, 10, 0, NO_TEXT).texts
