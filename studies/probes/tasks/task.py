"""Probe tasks by name: what a task's texts and labels are, and where they lie.

A task by name is one of `studies/probes/tasks/tasks.toml`, or of a package (`studies.probes.tasks.packaged`). Any other is
`PLACE:TEXT:LABEL` or `PLACE:TEXT:LABEL:GROUP`, where PLACE is a CSV, JSON-lines or Parquet file, a folder of such files or
one written by `save_to_disk`, or a Hub set (`org/name`, `org/name/config`), and the rest are its columns; LABEL of two levels
is `COARSE/FINE` (`studies.probes.tasks.levels`).
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean

HUB, FILES, EMBEDDED, PACKAGE = "hub", "files", "embedded", "package"


@dataclass(frozen=True)
class Task:
    """A task as it is named.

    Attributes:
        name: in results and figures.
        kind: `hub`, `files`, `embedded` or `package`.
        place: Hub id (a third part names a config), path, name of an embedded source, or a package, with its set where it
            holds many of one form.
        text, label: columns.
        group: column whose values are never on both sides, None for none.
        revision: of a Hub set, None for what is there now.
        train, test: splits of a Hub set; None is found out.
        labels: names of the classes 0, 1 …; () takes the values found.
        about, remarks: a line each.
        coarse: of a task with two levels the column of the coarse class (`label` is then of the fine one), or a word for it;
            None where there is one level.
    """

    name: str
    kind: str
    place: str
    text: str = "text"
    label: str = "label"
    group: str | None = None
    revision: str | None = None
    train: str | None = None
    test: str | None = None
    labels: tuple[str, ...] = ()
    about: str = ""
    remarks: str = ""
    coarse: str | None = None


@cache
def known_tasks() -> dict[str, Task]:
    """The tasks of `studies/probes/tasks/tasks.toml` by name."""
    with (resources.files("studies.probes.tasks") / "tasks.toml").open("rb") as file:
        entries = tomllib.load(file)["tasks"]
    return {
        name: Task(name=name.split(":")[-1], **entry | {"labels": tuple(entry.get("labels", ()))})
        for name, entry in entries.items()
    }


def embedded_names() -> list[str]:
    """Names of the tasks of one level that need no network."""
    return [task.name for task in known_tasks().values() if task.kind == EMBEDDED and task.coarse is None]


def hub_names() -> list[str]:
    """Names of the known tasks on the Hub."""
    return [task.name for task in known_tasks().values() if task.kind == HUB]


def find_task(wish: str, text: str | None = None, label: str | None = None) -> Task:
    """The task that a name, or a place with its columns, stands for.

    Args:
        wish: see the module.
        text, label: columns of a place that states none.

    Raises:
        FaithfulError: neither a known name, nor a place.
    """
    known = known_tasks()
    if wish in known:
        return known[wish]
    place, *columns = wish.split(":")
    is_file = Path(place).expanduser().exists()
    parts = place.split("/")
    if not is_file and (len(parts) not in (2, 3) or not all(parts) or parts[0] in (".", "..", "~")):
        raise FaithfulError(
            f"'{wish}' is no task; choose {', '.join(known)}, or name a file that is there or a Hub set, with its columns"
            f" as PLACE:TEXT:LABEL.{did_you_mean(wish, known)}"
        )
    if len(columns) not in (0, 2, 3) or not all(columns):
        raise FaithfulError(
            f"'{wish}' does not name its columns; write PLACE:TEXT:LABEL, as in reviews.csv:text:stars."
        )
    stated = columns or [text or "text", label or "label"]
    group = stated[2] if len(stated) == 3 else None
    above, _, below = stated[1].rpartition("/")
    if is_file:
        path = Path(place).expanduser().resolve()
        return Task(path.name.split(".")[0], FILES, str(path), stated[0], below, group, coarse=above or None)
    return Task(parts[-1], HUB, place, stated[0], below, group, coarse=above or None)
