"""How commands speak: data on stdout, everything else on stderr, one sentence for an error."""

import functools
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import typer

from faithful.base.errors import sentence_of
from faithful.base.quantities import format_count, format_seconds
from faithful.base.terminal import STOPPED, in_json, is_stopped, plain

P = ParamSpec("P")
R = TypeVar("R")
QUIET_SECONDS, FIRST_SECONDS = 30.0, 3.0
WIDE = 90
"""Columns from which a bar has its rate and the time that went by beside it."""


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a `FaithfulError`, and what else the system refuses, into one sentence and exit code 2; Ctrl-C into 130."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        silence_libraries()
        try:
            return function(*args, **kwargs)
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None or is_stopped():
                raise
            say(f"Error: {sentence}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            say(STOPPED)
            raise typer.Exit(130) from None

    return guarded


def silence_libraries() -> None:
    """Keep the libraries' own bars and warnings off the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", module="multiprocessing.resource_tracker")


def say(text: str) -> None:
    """A message for people, on stderr: one line, whatever is in it."""
    sys.stderr.write(plain(" ".join(text.splitlines())) + "\n")
    sys.stderr.flush()


def print_text(text: str) -> None:
    """A text of several lines on stdout."""
    sys.stdout.write(plain(text) + "\n")
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    is_unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print_text(in_json(json.dumps(value, indent=1, ensure_ascii=not is_unicode, default=str)))


def print_table(title: str, rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ()) -> None:
    """A table on stdout: as wide as the terminal, tab-separated where stdout is none."""
    from rich.console import Console
    from rich.text import Text

    from faithful.cli.output.tables import fitted, tab_separated

    console = Console(highlight=False)
    if not console.is_terminal:
        print_text(tab_separated(title, rows, header))
        return
    title, rows, header = plain(title), [tuple(map(plain, row)) for row in rows], tuple(map(plain, header))
    console.print(Text(title, style="bold"))
    table, left_out = fitted(rows, header, console.width)
    Console(highlight=False, width=max(console.width, table.min_width)).print(table)
    if left_out:
        say(f"Too narrow for {', '.join(left_out)}: widen the terminal, or use a pipe or --json.")


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[Any], None]]:
    """A reporter that draws bars with rate and ETA on a terminal, and a line every 30 s elsewhere."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _Lines()


def _bars() -> Iterator[Callable[[Any], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    from faithful.cli.output.workers_table import workers_table

    console = Console(stderr=True)
    is_wide = console.width >= WIDE
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=30 if is_wide else 6),
        TextColumn("{task.fields[shown]}", justify="right", table_column=Column(no_wrap=True)),
        *([TextColumn("{task.fields[rate]}", justify="right"), TimeElapsedColumn()] if is_wide else []),
        TextColumn("ETA"),
        TimeRemainingColumn(compact=not is_wide),
    )

    class Bars(Progress):
        """The bars, and below them what each worker does."""

        workers: Sequence[Any] = ()

        def get_renderables(self) -> Iterator[Any]:
            yield self.make_tasks_table(self.tasks)
            if len(self.workers) > 1:
                yield workers_table(self.workers)

    with Bars(*columns, console=console, transient=False) as bars:
        tasks: dict[str, Any] = {}

        def report(point: Any) -> None:
            if point.note:
                bars.console.print(Text(plain(point.note)))
                return
            bars.workers = point.workers
            if point.step not in tasks:
                tasks[point.step] = bars.add_task(plain(point.step), total=point.total, shown="", rate="")
            task = bars.tasks[tasks[point.step]]
            rate = f"{format_count(task.speed)} {point.unit}/s" if task.speed else ""
            shown = f"{format_count(point.done)}/{format_count(point.total)}"
            bars.update(tasks[point.step], completed=point.done, total=point.total, shown=shown, rate=rate)

        yield report


class _Lines:
    """A plain line of a step after 3 s, then every 30 s, and when it is done."""

    def __init__(self) -> None:
        self.began: dict[str, tuple[float, int]] = {}
        self.finished: set[str] = set()
        self.told = 0.0

    def __call__(self, point: Any) -> None:
        if point.note:
            say(point.note)
            return
        from faithful.cli.output.workers_table import workers_line

        now = time.monotonic()
        if point.step not in self.began:
            self.began[point.step] = (now, point.done)
            self.told = now - QUIET_SECONDS + FIRST_SECONDS
        start, first = self.began[point.step]
        finished = point.done >= point.total
        if point.step in self.finished:
            return
        if now - self.told >= QUIET_SECONDS or (finished and now > start):
            self.told = now
            if finished:
                self.finished.add(point.step)
            rate = (point.done - first) / max(now - start, 1e-9)
            left = "" if finished or not rate else f", {format_seconds((point.total - point.done) / rate)} left"
            pace = f", {format_count(rate)}/s{left}" if rate else ""
            crew = f"; {line}" if (line := workers_line(point.workers)) else ""
            say(f"{point.step}: {point.done:,} of {point.total:,} {point.unit}{pace}{crew}")
