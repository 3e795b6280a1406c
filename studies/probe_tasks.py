"""Probe tasks: texts with labels, from the Hub, from a file, or offline from the embedded text, drawn repeatably.

A task by name is one of `faithful/probes.toml`; any other is `PLACE:TEXT:LABEL` or `PLACE:TEXT:LABEL:GROUP`, where PLACE is
a CSV, JSON-lines or Parquet file, a folder of such files or one written by `save_to_disk`, or a Hub set (`org/name`,
`org/name/config`), and the rest are its columns. Which examples are drawn depends on their texts and the seed alone, never
on their order; a text comes once. Where a set has no split to test on, texts fall on a side by a hash of theirs, or of their
group's name; where it has one, training texts of a group that is tested on are left out: no group is on both sides.
"""

import hashlib
import heapq
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from faithful.errors import FaithfulError
from faithful.files import sha256_file, write_json
from faithful.hub import hub_problem
from faithful.source_rows import Reader, open_source
from faithful.sources import Source, resolve_source
from faithful.streams import PAUSES, reading_fault, with_retries
from faithful.templates import plain
from faithful.text_files import find_files
from studies.embedded_tasks import RULES, EmbeddedText

HUB, FILES, EMBEDDED = "hub", "files", "embedded"
HELD_OUT = ("test", "validation", "dev", "eval")
NO_CLASS = -1
MOST_ROWS, MOST_CLASSES = 1_000_000, 100
TESTED, OF_TESTED = "also among the test examples", "of a group among the test examples"
FORMAT = 2

Found = tuple[str, Any, str]
Side = Callable[[str, str], "Reservoir | str"]


@dataclass(frozen=True)
class Task:
    """A task as it is named.

    Attributes:
        name: in results and figures.
        kind: `hub`, `files` or `embedded`.
        place: Hub id (a third part names a config), path, or name of an embedded source.
        text, label: columns.
        group: column whose values are never on both sides, None for none.
        revision: of a Hub set, None for what is there now.
        train, test: splits of a Hub set; None is found out.
        labels: names of the classes 0, 1 …; () takes the values found.
        about, remarks: a line each.
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


@dataclass(frozen=True)
class Examples:
    """Labelled texts of one side.

    Attributes:
        texts: as the model reads them.
        y: int64 [n], places in `TaskData.labels`.
        groups: of each, its own hash where it has none; None where the task has none.
        origins: hash of each text as it stood where it came from, white space aside.
    """

    texts: list[str]
    y: np.ndarray
    groups: list[str] | None
    origins: list[str]


@dataclass(frozen=True)
class TaskData:
    """A task with its examples.

    Attributes:
        task: what was asked for.
        labels: names of the classes.
        train, test: no text is in both, and no group where the task has them.
        left_out: rows not used, by reason.
        revision: commit of a Hub set, hash of a file; None for embedded text.
    """

    task: Task
    labels: tuple[str, ...]
    train: Examples
    test: Examples
    left_out: dict[str, int]
    revision: str | None

    @property
    def sha256(self) -> str:
        """Hash of everything a probe sees."""
        return _digest([self.labels, _plain_examples(self.train), _plain_examples(self.test)])

    @property
    def texts(self) -> list[str]:
        """Texts of the training examples and then of the test examples."""
        return [*self.train.texts, *self.test.texts]

    @property
    def majority(self) -> float:
        """The most that one answer for all reaches on the test examples: their most frequent class' share."""
        return float(np.bincount(self.test.y).max() / len(self.test.y))


@dataclass(frozen=True)
class Draw:
    """How many examples are taken.

    Attributes:
        train, test: at most so many.
        seed: of the choice, and of the sides where a set has no split to test on.
        folds: every class needs as many training examples.
    """

    train: int
    test: int
    seed: int
    folds: int


@cache
def known_tasks() -> dict[str, Task]:
    """The tasks of `faithful/probes.toml` by name."""
    with (resources.files("faithful") / "probes.toml").open("rb") as file:
        entries = tomllib.load(file)["tasks"]
    return {
        name: Task(name=name, **entry | {"labels": tuple(entry.get("labels", ()))}) for name, entry in entries.items()
    }


def embedded_names() -> list[str]:
    """Names of the tasks that need no network."""
    return [task.name for task in known_tasks().values() if task.kind == EMBEDDED]


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
            " as PLACE:TEXT:LABEL."
        )
    if len(columns) not in (0, 2, 3) or not all(columns):
        raise FaithfulError(
            f"'{wish}' does not name its columns; write PLACE:TEXT:LABEL, as in reviews.csv:text:stars."
        )
    stated = columns or [text or "text", label or "label"]
    group = stated[2] if len(stated) == 3 else None
    if is_file:
        path = Path(place).expanduser().resolve()
        return Task(path.name.split(".")[0], FILES, str(path), stated[0], stated[1], group)
    return Task(parts[-1], HUB, place, stated[0], stated[1], group)


def load_task(task: Task, draw: Draw, embedded: EmbeddedText, folder: Path | None = None) -> TaskData:
    """Draw a task's examples, or take those drawn before.

    Args:
        task: see `find_task`.
        draw: how many.
        embedded: held-out passages as the study's model cuts them.
        folder: where drawn examples are kept; None keeps none.

    Raises:
        FaithfulError: the Hub or a file cannot be read, a column or the labels are missing, a class has too few examples.
    """
    path = folder / f"{task.name}-{_key(task, draw, embedded)}.json" if folder else None
    if path and path.exists():
        return _from_json(task, json.loads(path.read_text(encoding="utf-8")))
    data = _embedded(task, draw, embedded) if task.kind == EMBEDDED else _labelled(task, draw)
    _refuse_too_few(data, draw)
    if path:
        write_json(path, _to_json(data))
    return data


def text_hash(text: str) -> str:
    """Hex hash of a text, white space aside."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Reservoir:
    """The `size` texts with the smallest seeded hashes of those offered, each text once: memory does not grow."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._heap: list[tuple[int, str, Any]] = []
        self._members: set[str] = set()

    def offer(self, origin: str, item: Any) -> None:
        """Keep an item if its text's hash is among the smallest so far; of equal texts the first is kept."""
        if origin in self._members:
            return
        entry = (-priority(origin, self.seed), origin, item)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry[0] > self._heap[0][0]:
            self._members.discard(heapq.heapreplace(self._heap, entry)[1])
        else:
            return
        self._members.add(origin)

    def items(self) -> list[tuple[str, Any]]:
        """(hash, item) of what was kept, in the order of the hashes."""
        return [(origin, item) for _, origin, item in sorted(self._heap, key=lambda entry: -entry[0])]


def priority(name: str, seed: int) -> int:
    """A number in [0, 2⁶⁴) that looks random and depends on both."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


def is_for_test(name: str, draw: Draw) -> bool:
    """The side of a group, or of a text where there are none."""
    return priority(f"side/{name}", draw.seed) < draw.test / (draw.train + draw.test) * 2**64


def _embedded(task: Task, draw: Draw, embedded: EmbeddedText) -> TaskData:
    train, test = Reservoir(draw.train, draw.seed), Reservoir(draw.test, draw.seed)
    for passage in embedded.excerpts(task.place):
        label = _class_of(RULES[task.name](passage), task)
        side = test if is_for_test(passage.group, draw) else train
        side.offer(text_hash(passage.text), (passage.shown, label, passage.group))
    return _data(task, train, test, Counter(), None)


def _labelled(task: Task, draw: Draw) -> TaskData:
    """A task of the Hub or of files."""
    train_split, test_splits = _splits(task)
    source = _resolve(task, train_split)
    revision = source.revision or (_digest(list(source.sha256)) if source.sha256 else None)
    train = Reservoir(draw.train, draw.seed)
    if not test_splits:
        test = Reservoir(draw.test, draw.seed)
        left_out = _read(task, source, lambda origin, group: test if is_for_test(group or origin, draw) else train)
        return _data(task, train, test, left_out, revision)
    for split in test_splits:
        test = _held_out(task, split, draw)
        if any(label != str(NO_CLASS) for _, (_, label, _) in test.items()):
            break
    else:
        raise FaithfulError(
            f"{task.place} has no labels in {' and '.join(test_splits)}; choose another set for {task.name}."
        )
    tested = {origin for origin, _ in test.items()}
    groups = {group for _, (_, _, group) in test.items() if group}
    left_out = _read(
        task, source, lambda origin, group: TESTED if origin in tested else OF_TESTED if group in groups else train
    )
    return _data(task, train, test, left_out, revision)


def _held_out(task: Task, split: str, draw: Draw) -> Reservoir:
    """Test examples of a split."""
    test = Reservoir(draw.test, draw.seed)
    _read(task, _resolve(task, split), lambda origin, group: test)
    return test


def _read(task: Task, source: Source, side: Side) -> Counter[str]:
    """Offer every labelled text of a split to its side; a broken connection begins the split again, which changes nothing.

    Args:
        task, source: what is read.
        side: from a text's hash and its group to where it belongs, or to the reason why nowhere.

    Returns:
        rows not offered, by reason.
    """

    def once() -> Counter[str]:
        dropped: Counter[str] = Counter()
        for text, value, group in islice(_rows(task, source), MOST_ROWS):
            label = _class_of(value, task)
            origin = text_hash(text)
            chosen = side(origin, group)
            if label is None or not text.strip():
                dropped["no label" if label is None else "empty"] += 1
            elif isinstance(chosen, str):
                dropped[chosen] += 1
            else:
                chosen.offer(origin, (text, label, group))
        return dropped

    return with_retries(once, task.place, PAUSES)


def _rows(task: Task, source: Source) -> Iterator[Found]:
    """Text, label and group of every row; no label where the classes have names and it is −1."""
    reader = open_source(source)
    columns = [task.text, task.label, *([task.group] if task.group else [])]
    try:
        available = reader.columns()
        missing = [name for name in columns if name not in available]
        if missing:
            raise FaithfulError(
                f"{task.place} has no column '{missing[0]}'; it has {', '.join(available)}: name them as PLACE:TEXT:LABEL."
            )
        has_names = _has_class_names(reader, task.label)
        chosen = reader.select(tuple(columns))
        for file in range(len(chosen.names)):
            for row in chosen.rows(file):
                group = plain(row[task.group]) if task.group else ""
                label = None if has_names and row[task.label] == NO_CLASS else row[task.label]
                yield plain(row[task.text]), label, group
    except Exception as error:
        raise reading_fault(error, task.place) from error


def _has_class_names(reader: Reader, column: str) -> bool:
    """Whether the `datasets` library knows a column's classes by name; −1 then says that a row has none."""
    return type(getattr(reader, "features", {}).get(column)).__name__ == "ClassLabel"


def _resolve(task: Task, split: str | None) -> Source:
    place, config = _place(task)
    options: dict[str, Any] = {"columns": (task.text,), "leave_out": (), "split": split}
    if task.kind == HUB:
        options |= {"config": config, "revision": task.revision}
    return resolve_source(place, **options)


def _place(task: Task) -> tuple[str, str | None]:
    """Hub id, or path, and config."""
    if task.kind != HUB:
        return task.place, None
    owner, name, *config = task.place.split("/")
    return f"{owner}/{name}", config[0] if config else None


def _splits(task: Task) -> tuple[str | None, list[str]]:
    """The split to train on, and those to test on, the first with labels; none where sides are made by hash.

    Raises:
        FaithfulError: the Hub cannot be reached.
    """
    if task.kind == FILES:
        saved = Path(task.place) / "dataset_dict.json"
        if not saved.is_file():
            return None, []
        names = list(json.loads(saved.read_text(encoding="utf-8"))["splits"])
    else:
        reason = hub_problem()
        if reason is not None:
            raise FaithfulError(
                f"Cannot reach the Hub for the task {task.name} ({reason}); connect, or choose tasks that need none:"
                f" --set tasks={','.join(embedded_names())}, or a file as PATH:TEXT:LABEL."
            )
        if task.train and task.test:
            return task.train, [task.test]
        names = _hub_splits(task)
    train = task.train or ("train" if "train" in names else names[0])
    return train, [task.test] if task.test else [name for name in HELD_OUT if name in names and name != train]


def _hub_splits(task: Task) -> list[str]:
    import datasets

    place, config = _place(task)

    def ask() -> list[str]:
        try:
            return list(datasets.get_dataset_split_names(place, config, revision=task.revision))
        except Exception as error:
            raise reading_fault(error, place) from error

    return with_retries(ask, place, PAUSES)


def _class_of(value: Any, task: Task) -> int | str | None:
    """The class of a value as stored: a place in the task's labels where these are known; None where it has none.

    None, an empty field, a number that is none, and −1 beside named classes are no class; elsewhere −1 is one as any other.

    Raises:
        FaithfulError: it is not among the labels, or no class at all.
    """
    labels = task.labels
    if labels and isinstance(value, bool):
        return int(value)
    if value is None or value == "" or value != value or (labels and value in (NO_CLASS, str(NO_CLASS))):
        return None
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float | list | dict):
        raise FaithfulError(f"{task.place} holds {value!r} in the column '{task.label}', which names no class.")
    if not labels:
        return str(value)
    if value in labels:
        return labels.index(value)
    if str(value).isdigit() and int(value) < len(labels):
        return int(value)
    raise FaithfulError(f"{task.place} holds the label {value!r}; {task.name} has {', '.join(labels)}.")


def _data(
    task: Task,
    train: Reservoir,
    test: Reservoir,
    left_out: Counter[str],
    revision: str | None,
) -> TaskData:
    """A task of what was drawn; test examples of a class that no training example has are left out."""
    rows, held = train.items(), test.items()
    found = {label for _, (_, label, _) in rows}
    names = list(task.labels) or sorted(map(str, found), key=_numbers_first)
    if len(names) > MOST_CLASSES:
        raise FaithfulError(
            f"The column '{task.label}' of {task.place} has {len(names)} values, too many to be classes; name another."
        )
    tested = {origin for origin, _ in held}
    kept = [row for row in rows if row[0] not in tested]
    known = [row for row in held if row[1][1] in found]
    left_out = left_out + Counter({TESTED: len(rows) - len(kept), "of a class not trained on": len(held) - len(known)})
    place = {name: at for at, name in enumerate(names)}
    grouped = task.group is not None or task.kind == EMBEDDED

    def examples(chosen: Iterable[tuple[str, Any]]) -> Examples:
        items = list(chosen)
        y = [label if isinstance(label, int) else place[label] for _, (_, label, _) in items]
        return Examples(
            [text for _, (text, _, _) in items],
            np.array(y, np.int64),
            [group or origin for origin, (_, _, group) in items] if grouped else None,
            [origin for origin, _ in items],
        )

    return TaskData(task, tuple(names), examples(kept), examples(known), dict(left_out), revision)


def _numbers_first(name: str) -> tuple[bool, int, str]:
    is_number = name.removeprefix("-").isdecimal()
    return not is_number, int(name) if is_number else 0, name


def _refuse_too_few(data: TaskData, draw: Draw) -> None:
    counts = np.bincount(data.train.y, minlength=len(data.labels))
    if len(counts) < 2:
        raise FaithfulError(f"The task {data.task.name} has no two classes to tell apart; check the label column.")
    rarest = int(counts.argmin())
    if counts[rarest] < draw.folds:
        raise FaithfulError(
            f"The task {data.task.name} has {counts[rarest]} training examples of the class '{data.labels[rarest]}', and"
            f" {draw.folds} folds need as many; raise train_size, or leave the class out of the data."
        )
    if len(data.test.y) < 2:
        raise FaithfulError(f"The task {data.task.name} has nothing to test on; give a larger set.")


def _key(task: Task, draw: Draw, embedded: EmbeddedText) -> str:
    """Hash of what decides the examples."""
    identity: list[Any] = [FORMAT, asdict(replace(task, about="", remarks="")), asdict(draw)]
    if task.kind == EMBEDDED:
        identity += [embedded.identity, list(resolve_source(task.place).sha256)]
    elif task.kind == FILES:
        path = Path(task.place)
        saved = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
        files = saved if any(file.name == "state.json" for file in saved) else find_files(path)[1]
        identity.append([sha256_file(file) for file in files])
    return _digest(identity)[:16]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _plain_examples(examples: Examples) -> dict[str, Any]:
    return asdict(examples) | {"y": examples.y.tolist()}


def _to_json(data: TaskData) -> dict[str, Any]:
    return {
        "task": asdict(data.task),
        "labels": list(data.labels),
        "train": _plain_examples(data.train),
        "test": _plain_examples(data.test),
        "left_out": data.left_out,
        "revision": data.revision,
    }


def _from_json(task: Task, values: dict[str, Any]) -> TaskData:
    train, test = (
        Examples(**values[side] | {"y": np.array(values[side]["y"], np.int64)}) for side in ("train", "test")
    )
    return TaskData(task, tuple(values["labels"]), train, test, values["left_out"], values["revision"])
