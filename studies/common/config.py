"""What each study is told. Nothing heavy is imported here: `--help` shows it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyConfig:
    """What every study over SAEs is told; None and empty are left to the SAEs.

    Attributes:
        saes: folders or Hub places of SAEs.
        out: folder of the study.
        corpora: corpora whose held-out parts make the panel; by default those the SAEs were trained on, where they are
            still found.
        model: preset name, Hub id or folder.
        own: name of the own corpus, which the others are contrasted with.
        tokens: tokens of the panel in all; None is 30k on a CPU and 200k on a GPU.
        context, layout: tokens per context, BOS included; `aligned` or `packed`; by default as the SAEs were trained.
        device, dtype: of the model.
        seed: of every random choice of the study.
        workers: processes that share the work, each with its part of the CPU's threads or a GPU; the figures are the same.
    """

    saes: tuple[str | Path, ...]
    out: Path
    corpora: tuple[Path, ...] = ()
    model: str | None = None
    own: str | None = None
    tokens: int | None = None
    context: int | None = None
    layout: str | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int = 0
    workers: int = 1
