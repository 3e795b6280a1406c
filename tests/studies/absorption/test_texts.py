"""The words of a vocabulary and the texts of a file as tasks, and files that are none."""

import json
from pathlib import Path

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.progress import counted, silent
from studies.absorption.config import AbsorptionConfig
from studies.absorption.study import last_activations, study_absorption
from studies.absorption.texts import find_tasks, vocabulary
from studies.common.inputs import resolve_input
from studies.common.panel import ordinary_ids


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
        ("text,parent,child\n" + "a,b,c\n" * 30 + "a,d,c\n" * 3, "fewer than two parents with 10 texts or more"),
        ("text,parent,child\n" + "a,b,c\na,d,c\n" * 3, "among 6 drawn, and no probe"),
        ("text,parent,child\n" + "a,b,c\n" * 30 + f"{'a ' * 300},d,c\n" * 30, "beside 30 longer than a context"),
    ],
)
def test_bad_labels_are_refused(saes: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FaithfulError, match=message):
        study_absorption(AbsorptionConfig((saes,), tmp_path / "out", labels=(path,), device="cpu"))


def test_texts_that_are_not_read_whole_are_left_out_and_counted(saes: Path, tmp_path: Path) -> None:
    config = AbsorptionConfig(
        (saes,), tmp_path, labels=(tmp_path / "of.jsonl",), without_letters=True, folds=2, device="cpu"
    )
    found = resolve_input(config)
    words = [word.strip() for _, word in vocabulary(found)[:24]]
    rows = [{"text": text, "parent": "pq"[place % 2], "child": "c"} for place, text in enumerate(words)]
    rows += [{"text": text, "parent": "p", "child": "c"} for text in ("word " * 200, "word " * 300)]
    config.labels[0].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (task,) = find_tasks(config, found, 100)
    assert (len(task.rows), task.unread, task.names) == (24, 2, ("p", "q"))
    assert last_activations(found, task.rows, counted(silent, "texts", "contexts")).shape == (24, found.truncated.d_in)


def test_the_string_of_a_special_token_is_text_as_any_other(saes: Path, tmp_path: Path) -> None:
    config = AbsorptionConfig(
        (saes,), tmp_path, labels=(tmp_path / "of.csv",), without_letters=True, folds=2, device="cpu"
    )
    found = resolve_input(config)
    special = found.tokenizer.convert_ids_to_tokens(found.spec.bos_id)
    lines = [f"{special} is {n} and {special},{'pq'[n % 2]},c" for n in range(8)]
    config.labels[0].write_text("\n".join(["text,parent,child", *lines]) + "\n", encoding="utf-8")
    (task,) = find_tasks(config, found, 100)
    assert len(task.rows) == 8 and all(ordinary_ids(found.spec)[row[1:]].all() for row in task.rows)
    assert found.tokenizer.decode(task.rows[0][1:].tolist()) == f"{special} is 0 and {special}"


def test_examples_that_fill_the_context_are_refused(saes: Path, tmp_path: Path) -> None:
    config = AbsorptionConfig((saes,), tmp_path, examples=40, device="cpu")
    with pytest.raises(FaithfulError, match="40 words with their letters leave no room"):
        find_tasks(config, resolve_input(config), 100)
