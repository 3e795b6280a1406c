"""The study of four corpora, and what it found of each."""

from pathlib import Path
from typing import Any

from studies.common.results import Done
from studies.corpora.config import CorporaConfig

NAMES = ("own", "own-t0.7", "shuffled", "noise")


def configured(run: Path, **values: Any) -> CorporaConfig:
    folders = tuple(run / "corpora" / name for name in NAMES)
    defaults: dict[str, Any] = {"folders": folders, "out": run / "studies" / "corpora", "tokens": 6000, "device": "cpu"}
    return CorporaConfig(**defaults | values)


def cells(done: Done) -> dict[str, dict[str, Any]]:
    return dict(done.summary["cells"])
