"""Optional loggers beside train.jsonl: Weights & Biases, Trackio and TensorBoard."""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from faithful.base.errors import FaithfulError
from faithful.sae.stack import StepFigures
from faithful.training.cell import Cell
from faithful.training.config import Settings

MODULES = {"wandb": "wandb", "trackio": "trackio", "tensorboard": "torch.utils.tensorboard"}


class Logger(Protocol):
    """Takes the metrics of every cell at an interval."""

    def log(self, step: int, rows: Sequence[StepFigures]) -> None:
        """One row per cell, in the order of the cells."""

    def close(self) -> None:
        """Flush."""


def require_logger(name: str) -> None:
    """Refuse what `open_logger` could not open.

    Raises:
        FaithfulError: an unknown name, or its package is not installed.
    """
    if name == "none":
        return
    if name not in MODULES:
        raise FaithfulError(f"'{name}' is not a logger; choose none, wandb, trackio or tensorboard.")
    try:
        import_module(MODULES[name])
    except ImportError:
        raise FaithfulError(f"{name} is not installed; `pip install {name}`, or leave --log out.") from None


def open_logger(name: str, cells: list[Cell], settings: Settings) -> Logger:
    """A logger for some cells, `name` as `require_logger` wants it."""
    if name in ("wandb", "trackio"):
        return _Run(name, cells, settings)
    if name == "tensorboard":
        return _TensorBoard(cells)
    return _Nothing()


class _Nothing:
    def log(self, step: int, rows: Sequence[StepFigures]) -> None:
        return None

    def close(self) -> None:
        return None


class _Run:
    """One run for all cells, of a package that is called as wandb is."""

    def __init__(self, name: str, cells: list[Cell], settings: Settings) -> None:
        self.run = import_module(name).init(
            project="faithful", group=settings.hook.name, config={"cells": [c.identity for c in cells]}
        )
        self.names = [f"{cell.identity['corpus']}/{cell.name}" for cell in cells]

    def log(self, step: int, rows: Sequence[StepFigures]) -> None:
        values = {
            f"{name}/{key}": value for name, row in zip(self.names, rows, strict=True) for key, value in row.items()
        }
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


class _TensorBoard:
    def __init__(self, cells: list[Cell]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writers = [SummaryWriter(cell.folder) for cell in cells]

    def log(self, step: int, rows: Sequence[StepFigures]) -> None:
        for writer, row in zip(self.writers, rows, strict=True):
            for key, value in row.items():
                if value is None:  # what a variant reports of itself and is no number
                    continue
                writer.add_scalar(key, value, step)

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
