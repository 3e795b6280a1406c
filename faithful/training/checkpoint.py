"""Checkpoints of a corpus' training: which cells they hold, and how some of these go on."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import torch

from faithful.activations.stream import StreamState
from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import lock_file, open_own, reason_of, remove_temporaries, write_tensors
from faithful.base.records import check_archive
from faithful.base.shapes import Count, check
from faithful.sae.stack import StackState, select_cells
from faithful.store.shape import Shape
from faithful.training.cell import Cell, LogRow

FOLDER = ".checkpoints"


class Header(TypedDict):
    """What a checkpoint says beside its tensors, see `Checkpoint`."""

    cells: dict[str, str]
    step: Count
    diverged: dict[str, str]


class PassState(TypedDict):
    """A training as it stands: its seconds and CPU threads so far, each cell's log by hash, what it reads and trains."""

    seconds: float
    threads: int
    rows: dict[str, list[LogRow]]
    stream: StreamState
    stacks: list[StackState]


class Saved(Header, PassState):
    """All that a checkpoint holds."""


@dataclass(frozen=True)
class Checkpoint:
    """A training that was not finished.

    Attributes:
        path: its file.
        step: steps made.
        cells: the SHA-256 of each cell's identity → its folder below the corpus'.
        diverged: those of them whose loss is not finite any more → what it became and when.
    """

    path: Path
    step: int
    cells: dict[str, str]
    diverged: dict[str, str]


@contextlib.contextmanager
def open_checkpoints(cells: list[Cell]) -> Iterator[None]:
    """Hold a shared lock on the checkpoints of a corpus, under which they are read and written.

    Shared, since another process may train other cells from the same folder. Whoever is alone there (gets the lock
    exclusively) first deletes what a killed process left half-written.

    Raises:
        FaithfulError: the folder cannot be written.
    """
    folder = _corpus_folder(cells) / FOLDER
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_own(path)
    except OSError as error:
        raise FaithfulError(f"Cannot write {path}: {reason_of(error)}; mend that, then run again.") from error
    with lock as file:
        with contextlib.suppress(BlockingIOError):
            lock_file(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_temporaries(folder)
        lock_file(file, path, fcntl.LOCK_SH)
        yield


def checkpoint_path(cells: list[Cell]) -> Path:
    """Where the training of some cells of a corpus, in this order or another, keeps its state."""
    return _corpus_folder(cells) / FOLDER / f"{digest(sorted(cell.sha256 for cell in cells))[:32]}.pt"


def save_checkpoint(path: Path, cells: list[Cell], step: int, diverged: dict[str, str], state: PassState) -> None:
    """Write a state of plain values and tensors, atomically; `step` and `diverged` as in `Checkpoint`."""
    root = _corpus_folder(cells)
    held = {cell.sha256: cell.folder.relative_to(root).as_posix() for cell in cells}
    write_tensors(path, {"cells": held, "step": step, "diverged": diverged, **state})


def load_checkpoint(path: Path, *, tensors: bool = True) -> Saved:
    """What `save_checkpoint` wrote, on the CPU; without `tensors` they have shapes only, and are not read.

    Raises:
        FaithfulError: the file is damaged or of another version.
    """
    try:
        check_archive(path, tensors=tensors)
        state = dict(torch.load(path, map_location="cpu" if tensors else "meta", weights_only=True))
        check(state, Header)
    except Exception as error:
        raise FaithfulError(
            f"The checkpoint {path} cannot be read ({error}); delete it to start those SAEs anew."
        ) from None
    return cast(Saved, state)


def split_by_checkpoint(cells: list[Cell]) -> list[tuple[list[Cell], Checkpoint | None]]:
    """Cells of a corpus that go on together, each group with the checkpoint it goes on from; the rest starts anew."""
    groups: list[tuple[list[Cell], Checkpoint | None]] = []
    rest = list(cells)
    for checkpoint in sorted(_checkpoints(cells), key=lambda found: -found.step):
        group = [cell for cell in rest if cell.sha256 in checkpoint.cells]
        if group:
            groups.append((group, checkpoint))
            rest = [cell for cell in rest if cell not in group]
    return [*groups, (rest, None)] if rest else groups


def stack_state(state: PassState, shape: Shape, init_seeds: tuple[int, ...]) -> StackState:
    """The state of some cells of one shape, whatever cells shared their stack.

    Raises:
        FaithfulError: it holds none, as where a variant's parameters were others in the version that wrote it.
    """
    for stack in state["stacks"]:
        of = stack["shape"]
        if (of["d_sae"], of["k"], of["variant"]) == (shape.d_sae, shape.k, shape.variant.label):
            return select_cells(stack, init_seeds)
    raise FaithfulError(
        f"The checkpoint does not hold {shape.name} as this version trains it; delete the corpus' {FOLDER} to start it anew."
    )


def remove_finished(cells: list[Cell]) -> None:
    """Delete the checkpoints that no cell can go on from: all they hold are finished or have diverged."""
    root = _corpus_folder(cells)
    for checkpoint in _checkpoints(cells):
        alive = [folder for sha256, folder in checkpoint.cells.items() if sha256 not in checkpoint.diverged]
        if all((root / folder / "cfg.json").exists() for folder in alive):
            checkpoint.path.unlink(missing_ok=True)


def _checkpoints(cells: list[Cell]) -> list[Checkpoint]:
    found = []
    for path in sorted((_corpus_folder(cells) / FOLDER).glob("*.pt")):
        try:
            state = load_checkpoint(path, tensors=False)
        except FaithfulError:
            if path.exists():
                raise
            continue  # another process trained the cells of other shapes that it held to the end
        found.append(Checkpoint(path, state["step"], state["cells"], state["diverged"]))
    return found


def _corpus_folder(cells: list[Cell]) -> Path:
    return cells[0].folder.parent.parent
