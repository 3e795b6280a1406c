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


@pytest.mark.slow
def test_wandb_keeps_a_run_on_disk_when_it_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package."""
    import wandb

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings: Any = SimpleNamespace(hook=SimpleNamespace(name="resid_pre.3"))
    logger = open_logger("wandb", CELLS, settings)
    logger.log(7, ROWS)
    logger.close()
    wandb.teardown()  # its process has written everything when it has ended
    [written] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = written.read_bytes()
    for key in ("own/k4 seed 0/fvu", "own/k4 seed 0/held_out_fvu", "own/k4 seed 1/fvu", "resid_pre.3"):
        assert key.encode() in content


def test_tensorboard_has_a_file_for_each_cell_and_no_figure_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real package, its files read back."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    require_logger("tensorboard")
    logger = open_logger("tensorboard", CELLS, None)  # type: ignore[arg-type]
    logger.log(7, ROWS)
    logger.close()
    found = {}
    for cell in CELLS:
        events = EventAccumulator(str(cell.folder)).Reload()
        found[cell.folder.name] = {
            key: [(one.step, round(one.value, 6)) for one in events.Scalars(key)] for key in events.Tags()["scalars"]
        }
    assert found == {"seed-0": {"fvu": [(7, 0.5)], "held_out_fvu": [(7, 0.6)]}, "seed-1": {"fvu": [(7, 0.4)]}}
