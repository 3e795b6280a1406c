"""Tasks with two levels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from studies.probes.tasks.examples import TaskData
from studies.probes.tasks.levels import by_level, coarse_of
from studies.probes.tasks.read import load_task
from studies.probes.tasks.task import embedded_names, find_task, known_tasks
from tests.studies.probes.data import DRAW, no_text, write_csv

PAIRS = (("art", "music"), ("art", "film"), ("sport", "tennis"))


def loaded(tmp_path: Path, pairs: Sequence[tuple[Any, Any]] = PAIRS) -> TaskData:
    rows = [
        {"text": f"text {at}", "topic": coarse, "part": fine}
        for at in range(120)
        for coarse, fine in [pairs[at % len(pairs)]]
    ]
    path = write_csv(tmp_path / "topics.csv", rows)
    return load_task(find_task(f"{path}:text:topic/part"), DRAW, no_text())


def test_both_levels_are_probed_on_the_same_texts(tmp_path: Path) -> None:
    coarse, fine = by_level(loaded(tmp_path))
    assert (coarse.task.name, fine.task.name) == ("topics.coarse", "topics.fine")
    assert coarse.labels == ("art", "sport") and coarse.texts == fine.texts
    assert fine.labels == ("art › film", "art › music", "sport › tennis")
    above = coarse_of(fine.labels)
    for one, other in ((coarse.train, fine.train), (coarse.test, fine.test)):
        assert [coarse.labels[at] for at in one.y] == [above[at] for at in other.y]


def test_a_class_missing_at_one_level_is_refused_and_at_both_left_out(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=r"a class at one level and none in 'part'; fill it in"):
        loaded(tmp_path, [*PAIRS, ("sport", "")])
    with pytest.raises(FaithfulError, match="none in 'topic'"):
        loaded(tmp_path, [*PAIRS, ("", "golf")])
    assert loaded(tmp_path, [*PAIRS, ("", "")]).left_out["no label"] > 0


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ((("art", "music"), ("art", "film")), "one class"),
        ((("art", "music"), ("sport", "tennis")), "no class with several fine ones"),
    ],
)
def test_levels_that_are_none_are_refused(pairs: Sequence[tuple[str, str]], told: str, tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=f"The coarse level of the task topics has {told}"):
        by_level(loaded(tmp_path, pairs))


def test_tasks_of_one_level_are_themselves(tmp_path: Path) -> None:
    rows = [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(80)]
    data = load_task(find_task(f"{write_csv(tmp_path / 'plain.csv', rows)}:text:label"), DRAW, no_text())
    assert by_level(data) == [data]


def test_known_tasks_of_two_levels_are_named_and_not_taken_by_default() -> None:
    two = {name for name, task in known_tasks().items() if task.coarse}
    assert two == {"kind", "real:families"} and not two & set(embedded_names())
    assert set(coarse_of(known_tasks()["real:families"].labels)) == {"Germanic", "Romance", "Slavic"}
