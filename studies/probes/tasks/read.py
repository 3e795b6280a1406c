"""Reading probe tasks: examples from the Hub, from files, packages, or the embedded text, kept once drawn.

Where a set has a split to test on, training texts of a group that is tested on are left out: no group is on both sides.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.hub.errors import PAUSES, with_retries
from faithful.hub.reachable import hub_problem
from faithful.hub.set_files import refuse_foreign_files
from generation.files.local_files import find_files, is_saved, saved_files, saved_splits
from generation.files.reader import Reader
from generation.files.templates import plain
from generation.sources.datasets_readers import reading_fault
from generation.sources.resolve import resolve_source
from generation.sources.rows import open_source
from generation.sources.source import Source
from studies.common.cache import ResultCache
from studies.probes.tasks.embedded import RULES, EmbeddedText
from studies.probes.tasks.examples import (
    TESTED,
    Draw,
    KeptTask,
    Reservoir,
    TaskData,
    drawn,
    from_json,
    is_for_test,
    refuse_too_few,
    text_hash,
    to_json,
)
from studies.probes.tasks.levels import by_level, joined
from studies.probes.tasks.packaged import packaged_files, packaged_rows
from studies.probes.tasks.task import EMBEDDED, FILES, HUB, PACKAGE, Task, embedded_names

HELD_OUT = ("test", "validation", "dev", "eval")
NO_CLASS = -1
OF_TESTED = "of a group among the test examples"
FORMAT = 3

Found = tuple[str, Any, str]
Side = Callable[[str, str], Reservoir | str]


def load_task(task: Task, draw: Draw, embedded: EmbeddedText, folder: Path | None = None) -> TaskData:
    """Draw a task's examples, or take those drawn before.

    Args:
        task: see `find_tasks`.
        draw: how many.
        embedded: held-out passages as the study's model cuts them.
        folder: where drawn examples are kept; None keeps none.

    Raises:
        FaithfulError: the Hub or a file cannot be read, a column or the labels are missing, a class has too few examples;
            and what `by_level` refuses.
    """

    def draw_anew() -> KeptTask:
        if task.kind == EMBEDDED:
            data = _embedded(task, draw, embedded)
        else:
            data = _packaged(task, draw) if task.kind == PACKAGE else _labelled(task, draw)
        refuse_too_few(data, draw)
        by_level(data)  # refuses levels that are none, before anything is kept
        return to_json(data)

    if folder is None:
        return from_json(task, draw_anew())
    cache = ResultCache(folder, FORMAT)
    return from_json(task, cache.once(draw_anew, *_key(task, draw, embedded), label=task.name))


def _embedded(task: Task, draw: Draw, embedded: EmbeddedText) -> TaskData:
    train, test = Reservoir(draw.train, draw.seed), Reservoir(draw.test, draw.seed)
    passages = (passage for source in task.place.split("+") for passage in embedded.excerpts(source))
    for passage in passages:
        label = _class_of(RULES[task.name](passage), task)
        side = test if is_for_test(passage.group, draw) else train
        side.offer(text_hash(passage.text), (passage.shown, label, passage.group))
    return drawn(task, train, test, Counter(), None)


def _packaged(task: Task, draw: Draw) -> TaskData:
    """A task whose rows lie in a package: sides by hash."""
    rows = ((text, label, "") for text, label in packaged_rows(task))
    revision = digest([sha256_file(file) for file in packaged_files(task)])
    return _by_hash(task, draw, lambda side: _offer(task, rows, side), revision)


def _by_hash(task: Task, draw: Draw, offer: Callable[[Side], Counter[str]], revision: str | None) -> TaskData:
    """A task without a split to test on."""
    train, test = Reservoir(draw.train, draw.seed), Reservoir(draw.test, draw.seed)
    left_out = offer(lambda origin, group: test if is_for_test(group or origin, draw) else train)
    return drawn(task, train, test, left_out, revision)


def _labelled(task: Task, draw: Draw) -> TaskData:
    """A task of the Hub or of files."""
    train_split, test_splits = _splits(task)
    source = _resolve(task, train_split)
    revision = source.revision or (digest(list(source.sha256)) if source.sha256 else None)
    if not test_splits:
        return _by_hash(task, draw, lambda side: _read(task, source, side), revision)
    train = Reservoir(draw.train, draw.seed)
    for split in test_splits:
        test, untested = _held_out(task, split, draw)
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
    return drawn(task, train, test, left_out + untested, revision)


def _held_out(task: Task, split: str, draw: Draw) -> tuple[Reservoir, Counter[str]]:
    """Test examples of a split, and rows not offered, by reason."""
    test = Reservoir(draw.test, draw.seed)
    return test, _read(task, _resolve(task, split), lambda origin, group: test)


def _read(task: Task, source: Source, side: Side) -> Counter[str]:
    """Offer every labelled text of a split to its side; a broken connection begins the split again, which changes nothing."""
    return with_retries(lambda: _offer(task, _rows(task, source), side), task.place, PAUSES)


def _offer(task: Task, rows: Iterable[Found], side: Side) -> Counter[str]:
    """Offer every labelled text to its side.

    Args:
        task: whose they are.
        rows: text, label and group.
        side: from a text's hash and its group to where it belongs, or to the reason why nowhere.

    Returns:
        rows not offered, by reason.
    """
    dropped: Counter[str] = Counter()
    for text, value, group in rows:
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


def _rows(task: Task, source: Source) -> Iterator[Found]:
    """Text, label and group of every row; no label where the classes have names and it is −1."""
    reader = open_source(source)
    columns = [task.text, task.label, *filter(None, (task.coarse, task.group))]
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
                group = plain(row.get(task.group)) if task.group else ""
                label = None if has_names and row.get(task.label) == NO_CLASS else joined(row, task)
                yield plain(row.get(task.text)), label, group
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
        names = saved_splits(saved.parent)
    else:
        reason = hub_problem()
        if reason is not None:
            raise FaithfulError(
                f"Cannot reach the Hub for the task {task.name} ({reason}); connect, or choose tasks that need none:"
                f" --task {','.join(embedded_names())}, or a file as PATH:TEXT:LABEL."
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
            refuse_foreign_files(place, task.revision)
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


def _key(task: Task, draw: Draw, embedded: EmbeddedText) -> list[Any]:
    """What decides the examples."""
    of_task = {
        name: value for name, value in asdict(replace(task, about="", remarks="")).items() if name != "coarse" or value
    }
    identity: list[Any] = [of_task, asdict(draw)]
    if task.kind == EMBEDDED:
        for source in map(resolve_source, task.place.split("+")):
            identity += [embedded.identity, list(source.sha256), list(source.held_out)]
    elif task.kind == PACKAGE:
        identity.append([sha256_file(file) for file in packaged_files(task)])
    elif task.kind == FILES:
        path = Path(task.place)
        identity.append([sha256_file(file) for file in _files_of(path)])
    return identity


def _files_of(path: Path) -> list[Path]:
    """The files that the rows of a local set come from, of all its splits."""
    if (path / "dataset_dict.json").is_file():
        return [
            path / "dataset_dict.json",
            *(file for split in saved_splits(path) for file in saved_files(path / split)),
        ]
    return saved_files(path) if is_saved(path) else find_files(path)[1]
