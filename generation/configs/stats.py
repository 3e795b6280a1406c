"""What `faithful corpus stats` is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING


@dataclass(frozen=True)
class StatsConfig:
    """What to describe."""

    COMMAND: ClassVar = "corpus stats"

    folder: Annotated[Path, ARGUMENT, MAY_BE_MISSING]
    """Corpus folder, or a run; default: the corpora of the current run."""
