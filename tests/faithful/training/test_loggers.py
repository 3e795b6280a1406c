"""Loggers: refused before the work where they are not there."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.training.loggers import MODULES, open_logger, require_logger


def test_unknown_ones_and_those_that_are_not_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_logger("none")
    with pytest.raises(FaithfulError, match="'mlflow' is not a logger; choose none, wandb, trackio or tensorboard"):
        require_logger("mlflow")
    for name, module in MODULES.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(FaithfulError, match=f"pip install {name}"):
            require_logger(name)


def test_none_takes_everything_and_keeps_nothing() -> None:
    logger = open_logger("none", [], None)  # type: ignore[arg-type]
    logger.log(3, [{"loss": 1.0}])
    logger.close()


CELLS: Any = [
    SimpleNamespace(name=f"k4 seed {seed}", identity={"corpus": "own"}, folder=Path(f"seed-{seed}")) for seed in (0, 1)
]
ROWS: Any = [{"fvu": 0.5, "held_out_fvu": 0.6}, {"fvu": 0.4, "rate": None}]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_run_holds_the_figures_of_every_cell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    run = SimpleNamespace(log=lambda values, step: said.append((step, values)), finish=lambda: said.append("end"))
    package = SimpleNamespace(init=lambda **stated: said.append(stated) or run)
    monkeypatch.setitem(sys.modules, name, package)
    settings: Any = SimpleNamespace(hook=SimpleNamespace(name="resid_pre.3"))
    logger = open_logger(name, CELLS, settings)
    logger.log(7, ROWS)
    logger.close()
    assert said == [
        {"project": "faithful", "group": "resid_pre.3", "config": {"cells": [{"corpus": "own"}, {"corpus": "own"}]}},
        (7, {"own/k4 seed 0/fvu": 0.5, "own/k4 seed 0/held_out_fvu": 0.6, "own/k4 seed 1/fvu": 0.4,
             "own/k4 seed 1/rate": None}),
        "end",
    ]  # fmt: skip


def test_tensorboard_has_a_writer_for_each_cell_and_no_figure_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    class Writer:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def add_scalar(self, key: str, value: float, step: int) -> None:
            said.append((self.folder.name, key, value, step))

        def close(self) -> None:
            said.append(self.folder.name)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    logger = open_logger("tensorboard", CELLS, None)  # type: ignore[arg-type]
    logger.log(7, ROWS)
    logger.close()
    assert said == [
        ("seed-0", "fvu", 0.5, 7), ("seed-0", "held_out_fvu", 0.6, 7), ("seed-1", "fvu", 0.4, 7), "seed-0", "seed-1",
    ]  # fmt: skip
