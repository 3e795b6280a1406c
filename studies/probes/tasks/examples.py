"""Labelled texts of a probe task, drawn repeatably.

Which examples are drawn depends on their texts and the seed alone, never on their order; a text comes once, and not at all
where its rows name different classes. Where a set has no split to test on, texts fall on a side by a hash of theirs, or of
their group's name.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from studies.probes.tasks.task import EMBEDDED, Task

MOST_CLASSES = 100
TESTED = "also among the test examples"
CONTRADICTED = "texts that the set gives different classes"
_SPARE = 2


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
        return digest([self.labels, _plain_examples(self.train), _plain_examples(self.test)])

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


Item = tuple[str, int | str | None, str]


class Reservoir:
    """The `size` texts with the smallest seeded hashes of those offered, each text once: memory does not grow.

    Twice as many are kept, so that others take the place of texts that were offered with different classes. All rows of a
    text that stays have been seen: it was among the smallest from the first on.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._heap: list[tuple[int, str]] = []
        self._items: dict[str, Item] = {}
        self._contradicted: set[str] = set()

    def offer(self, origin: str, item: Item) -> None:
        """Keep an item if its text's hash is among the smallest so far; of equal texts the least by text and group stays."""
        if origin in self._items:
            if item[1] != self._items[origin][1]:
                self._contradicted.add(origin)
            self._items[origin] = min(self._items[origin], item, key=lambda one: (one[0], one[2]))
            return
        entry = (-priority(origin, self.seed), origin)
        if len(self._heap) < _SPARE * self.size:
            heapq.heappush(self._heap, entry)
        elif self._heap and entry[0] > self._heap[0][0]:
            gone = heapq.heapreplace(self._heap, entry)[1]
            del self._items[gone]
            self._contradicted.discard(gone)
        else:
            return
        self._items[origin] = item

    def items(self) -> list[tuple[str, Item]]:
        """(hash, item) of what is drawn, in the order of the hashes."""
        drawn = [(origin, self._items[origin]) for origin in self._ordered() if origin not in self._contradicted]
        return drawn[: self.size]

    def contradicted(self) -> int:
        """How many texts others took the place of, since they were offered with different classes."""
        drawn, ordered = self.items(), self._ordered()
        if drawn and len(drawn) == self.size:
            ordered = ordered[: ordered.index(drawn[-1][0])]
        return len(self._contradicted.intersection(ordered))

    def _ordered(self) -> list[str]:
        return [origin for _, origin in sorted(self._heap, key=lambda entry: -entry[0])]


def text_hash(text: str) -> str:
    """Hex hash of a text, white space aside."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def priority(name: str, seed: int) -> int:
    """A number in [0, 2⁶⁴) that looks random and depends on both."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")


def is_for_test(name: str, draw: Draw) -> bool:
    """The side of a group, or of a text where there are none."""
    return priority(f"side/{name}", draw.seed) < draw.test / (draw.train + draw.test) * 2**64


def drawn(
    task: Task,
    train: Reservoir,
    test: Reservoir,
    left_out: Counter[str],
    revision: str | None,
) -> TaskData:
    """A task of what was drawn; test examples of a class that no training example has are left out.

    Args:
        train, test: items are (text, class as a place in the task's labels or as a name, group).
        left_out: rows not offered, by reason.

    Raises:
        FaithfulError: the label column has too many values to be classes.
    """
    rows, held = train.items(), test.items()
    classes = {origin: label for origin, (_, label, _) in held}
    clashing = {origin for origin, (_, label, _) in rows if classes.get(origin, label) != label}
    rows, held = ([row for row in side if row[0] not in clashing] for side in (rows, held))
    found = {label for _, (_, label, _) in rows}
    names = list(task.labels) or sorted(map(str, found), key=_numbers_first)
    if len(names) > MOST_CLASSES:
        raise FaithfulError(
            f"The column '{task.label}' of {task.place} has {len(names)} values, too many to be classes; name another."
        )
    tested = {origin for origin, _ in held}
    kept = [row for row in rows if row[0] not in tested]
    known = [row for row in held if row[1][1] in found]
    contradicted = train.contradicted() + test.contradicted() + len(clashing)
    not_drawn = {TESTED: len(rows) - len(kept), "of a class not trained on": len(held) - len(known)}
    left_out = left_out + Counter(not_drawn | {CONTRADICTED: contradicted})
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


def refuse_too_few(data: TaskData, draw: Draw) -> None:
    """Raise FaithfulError where there are no two classes, no test examples, or fewer of a class than folds."""
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


class KeptExamples(TypedDict):
    """`Examples` on disk."""

    texts: list[str]
    y: list[int]
    groups: list[str] | None
    origins: list[str]


class KeptTask(TypedDict):
    """A task with its examples on disk."""

    task: dict[str, object]
    labels: list[str]
    train: KeptExamples
    test: KeptExamples
    left_out: dict[str, int]
    revision: str | None


def to_json(data: TaskData) -> KeptTask:
    """A task's examples as `from_json` takes them."""
    return {
        "task": asdict(data.task),
        "labels": list(data.labels),
        "train": _plain_examples(data.train),
        "test": _plain_examples(data.test),
        "left_out": data.left_out,
        "revision": data.revision,
    }


def from_json(task: Task, values: KeptTask) -> TaskData:
    """The examples that `to_json` wrote."""
    train, test = (
        Examples(side["texts"], np.array(side["y"], np.int64), side["groups"], side["origins"])
        for side in (values["train"], values["test"])
    )
    return TaskData(task, tuple(values["labels"]), train, test, values["left_out"], values["revision"])


def _plain_examples(examples: Examples) -> KeptExamples:
    return {
        "texts": examples.texts,
        "y": examples.y.tolist(),
        "groups": examples.groups,
        "origins": examples.origins,
    }
