"""The words of a vocabulary and the texts of a file as tasks, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from studies.absorption.config import AbsorptionConfig
from studies.absorption.study import study_absorption
from studies.absorption.texts import find_tasks
from studies.common.inputs import resolve_input


def test_words_stand_last_after_the_same_examples_and_the_draw_is_seeded(saes: Path, tmp_path: Path) -> None:
    found = resolve_input(AbsorptionConfig((saes,), tmp_path, device="cpu"))
    (task,), (same,), (other,) = (
        find_tasks(AbsorptionConfig((saes,), tmp_path, seed=seed, folds=2), found, 100) for seed in (0, 0, 1)
    )
    rows = np.stack(task.rows)
    assert (rows[:, :-1] == rows[0, :-1]).all() and len(set(rows[:, -1])) == len(rows)
    shown = found.tokenizer.decode(rows[0].tolist())
    assert shown.count("has the first letter:") == 2
    for row, parent, word in zip(task.rows, task.parents, task.children, strict=True):
        assert task.names[parent] == word[0].lower() and found.tokenizer.decode([int(row[-1])]).strip() == word
    assert all(np.array_equal(one, two) for one, two in zip(task.rows, same.rows, strict=True))
    assert not np.array_equal(np.stack(other.rows)[:, -1], rows[:, -1][: len(other.rows)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,parent\na,b\n", "no column child"),
        ("text,parent,child\na,b,c\nd,,e\n", "Row 2 of .* lacks"),
        ("text,parent,child\na,b,c\n", "fewer than two parents"),
    ],
)
def test_bad_labels_are_refused(saes: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FaithfulError, match=message):
        study_absorption(AbsorptionConfig((saes,), tmp_path / "out", labels=(path,), device="cpu"))
