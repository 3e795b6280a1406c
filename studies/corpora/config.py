"""What `faithful study corpora` is told."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CorporaConfig:
    """What to compare.

    Attributes:
        folders: the corpora, in the order of the table.
        out: folder of the study.
        model: preset name, Hub id or folder; by default the model that the corpora were made for.
        own: the model's own T 1 corpus; by default one among or beside the corpora.
        tokens: about how many tokens to score per corpus; None is 100k on a CPU and 1M on a GPU, at most the smallest.
        budget: tokens that diversity is computed on; by default the smallest corpus', where corpora are sampled for a
            sweep at most 1M.
        temperatures, top_ps: settings of a sweep: own corpora sampled for it, as large as `budget`.
        device: `cpu` or `cuda`; by default what the machine has.
        dtype: type of the scoring pass; by default the model's on this device.
        seed: of the randomised transform and the bootstraps.
    """

    folders: tuple[Path, ...]
    out: Path
    model: str | None = None
    own: Path | None = None
    tokens: int | None = None
    budget: int | None = None
    temperatures: tuple[float, ...] = ()
    top_ps: tuple[float, ...] = ()
    device: str | None = None
    dtype: str | None = None
    seed: int = 0
