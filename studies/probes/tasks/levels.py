"""Tasks with two levels: each fine class belongs to a coarse one, and texts are labelled with both, as `COARSE › FINE`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from studies.probes.tasks.examples import Examples, TaskData
from studies.probes.tasks.task import Task

MARK = " › "
COARSE, FINE = ".coarse", ".fine"


def joined(row: Mapping[str, Any], task: Task) -> Any:
    """The label of a row: its class, of a task with two levels both; None where it has none at either.

    Raises:
        FaithfulError: it has one at a single level.
    """
    fine = row.get(task.label)
    if task.coarse is None:
        return fine
    coarse = row.get(task.coarse)
    lacks = {
        name: one is None or one != one or not str(one).strip()
        for name, one in ((task.coarse, coarse), (task.label, fine))
    }
    if all(lacks.values()):
        return None
    if any(lacks.values()):
        missing = next(name for name, is_missing in lacks.items() if is_missing)
        raise FaithfulError(
            f"{task.place} has a text with a class at one level and none in '{missing}'; fill it in, or leave the row out."
        )
    return f"{str(coarse).strip()}{MARK}{str(fine).strip()}"


def coarse_of(labels: tuple[str, ...]) -> list[str]:
    """The coarse class of each fine one."""
    return [label.partition(MARK)[0] for label in labels]


def names_of(task: Task) -> list[str]:
    """What those are called that a task is probed as: itself, or its two levels."""
    return [task.name] if task.coarse is None else [task.name + COARSE, task.name + FINE]


def by_level(data: TaskData) -> list[TaskData]:
    """A task as those that are probed: itself, or one for each of its two levels, of the same texts.

    Raises:
        FaithfulError: its coarse level has one class, or no class of it several fine ones.
    """
    if data.task.coarse is None:
        return [data]
    above = coarse_of(data.labels)
    names = tuple(dict.fromkeys(above))
    if len(names) < 2 or len(names) == len(above):
        what = "one class" if len(names) < 2 else "no class with several fine ones"
        raise FaithfulError(
            f"The coarse level of the task {data.task.name} has {what}; name another column, or one level alone."
        )
    place = np.array([names.index(name) for name in above])

    def raised(side: Examples) -> Examples:
        return replace(side, y=place[side.y])

    rough, fine = names_of(data.task)
    coarse = replace(
        data,
        task=replace(data.task, name=rough),
        labels=names,
        train=raised(data.train),
        test=raised(data.test),
    )
    return [coarse, replace(data, task=replace(data.task, name=fine))]
