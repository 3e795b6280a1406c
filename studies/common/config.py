"""What each study is told. Nothing heavy is imported here: `--help` shows it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, SETTING, Count, CountOrNone, names


@dataclass(frozen=True)
class SaesConfig:
    """What every study over SAEs is told."""

    saes: Annotated[tuple[str | Path, ...], ARGUMENT, MAY_BE_MISSING]
    """Folders of SAEs, runs, or Hub places; default: the SAEs of the current run."""
    out: Annotated[Path, MAY_BE_MISSING]
    """Folder; default studies/NAME of the run, for SAEs of the Hub runs/REPO/studies/NAME."""


@dataclass(frozen=True)
class StudyConfig(SaesConfig):
    """What every study that runs SAEs on text is told; None and empty are left to the SAEs."""

    corpora: Annotated[tuple[Path, ...], names("--corpus")] = ()
    """Corpus, or a run, that says which model reads the text and which SAEs are of its own; repeat it. Default: those trained
    on, where they are still found."""
    model: str | None = None
    """Preset name, Hub id, folder or GGUF file; default: the corpora's."""
    own: str | None = None
    """Name of the model's own corpus, which the others are contrasted with."""
    context: Annotated[CountOrNone | None, SETTING] = None
    """Tokens per context, BOS included; by default as the SAEs were trained."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""
    dtype: str | None = None
    """Type the model runs in."""
    load: str | None = field(default=None, kw_only=True)
    """full, 8bit or 4bit: the model that reads the text; default: as the SAEs were trained."""
    shard_model: bool = field(default=False, kw_only=True)
    """Spread the model's layers over all GPUs of this machine, for one that does not fit on one; in one process."""
    seed: int = 0
    """Of every random choice of the study."""
    workers: int | None = None
    """Processes that share the work, one per GPU or part of the CPU; default 1, of a cluster all.

    The figures are the same up to rounding. Each has the model and what it works with in memory of its own: for `seeds` the
    weights of three SAEs, however many are compared; for the others those of the SAEs of its texts.
    """


@dataclass(frozen=True)
class PanelConfig(StudyConfig):
    """What every study that reads a panel of held-out text is told."""

    corpora: Annotated[tuple[Path, ...], names("--corpus")] = ()
    """Corpus of the panel, or a run; repeat it. Default: those trained on, where they are still found.

    Their held-out parts make the panel.
    """
    tokens: Count | None = None
    """Tokens of the panel in all; default 30k on a CPU, 200k on a GPU."""
    layout: Annotated[str | None, SETTING] = None
    """aligned or packed; by default as the SAEs were trained."""
    panel_seed: Annotated[int | None, SETTING] = None
    """Draws the documents of the panel among all that are held out; by default the first ones are read."""
