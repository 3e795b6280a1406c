"""Loggers: refused before the work where they are not there."""

import sys

import pytest

from faithful.base.errors import FaithfulError
from faithful.training.loggers import MODULES, open_logger, require_logger


def test_unknown_ones_and_those_that_are_not_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_logger("none")
    with pytest.raises(FaithfulError, match="'mlflow' is not a logger; choose none, wandb or tensorboard"):
        require_logger("mlflow")
    for name, module in MODULES.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(FaithfulError, match=f"pip install {name}"):
            require_logger(name)


def test_none_takes_everything_and_keeps_nothing() -> None:
    logger = open_logger("none", [], None)  # type: ignore[arg-type]
    logger.log(3, [{"loss": 1.0}])
    logger.close()
