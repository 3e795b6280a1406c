"""What `faithful run` and `faithful report` are told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Place, Typed, names


@dataclass(frozen=True)
class RunConfig:
    """Which run to do."""

    COMMAND: ClassVar[str] = "run"

    recipe: Annotated[str, ARGUMENT]
    """Name of a shipped recipe, or a TOML file."""
    run: str | None = None
    """Run to write to; default: the recipe's name."""
    settings: Annotated[tuple[str, ...], names("--set")] = ()
    """A setting in place of the recipe's, as train.d_sae=512; repeat it."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""


@dataclass(frozen=True)
class ReportConfig:
    """What to report on."""

    COMMAND: ClassVar[str] = "report"

    run: Annotated[Place, ARGUMENT, MAY_BE_MISSING, Typed(metavar="[RUN]")]
    """Run; default: the current one."""
    out: Path | None = None
    """File; default RUN/report.html, or RUN/report.md."""
    markdown: bool = False
    """Write Markdown instead, with figures as files in a folder beside it."""
    no_text: bool = False
    """Leave out what stands in the corpora: samples of them, and contexts of examples."""
