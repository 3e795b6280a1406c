"""What `faithful corpus certify` is told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from faithful.options.marks import ARGUMENT, BY_CODE_ALONE, MAY_BE_MISSING, Count, names


@dataclass(frozen=True)
class CertifyConfig:
    """What to certify and against what."""

    COMMAND: ClassVar = "corpus certify"

    folder: Annotated[Path, ARGUMENT, MAY_BE_MISSING]
    """Corpus folder, or a run; default: the corpora of the current run."""
    split: str = "train"
    """train or test."""
    tokens: Count | None = None
    """About how many tokens to score; default 100k on a CPU, 1M on a GPU."""
    everything: Annotated[bool, names("--all")] = False
    """Score the whole split."""
    as_temperature: float | None = None
    """Score as if sampled at this temperature."""
    as_top_p: float | None = None
    """… with this top-p."""
    as_top_k: int | None = None
    """… with this top-k."""
    as_min_p: float | None = None
    """… with this min-p."""
    as_repetition_penalty: float | None = None
    """… with this repetition penalty."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""
    dtype: str | None = None
    """Type of the scoring pass; default: the corpus'."""
    load: str | None = field(default=None, kw_only=True)
    """full, 8bit or 4bit: the model that scores; default: as the corpus was sampled."""
    shard_model: bool = field(default=False, kw_only=True)
    """Spread the model's layers over all GPUs of this machine, for one that does not fit on one; in one process."""
    seed: Annotated[int, BY_CODE_ALONE] = 0
    """Of the randomised transform and the bootstrap."""

    def overrides(self) -> dict[str, Any]:
        """The sampling fields to score under in place of the declared ones."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        values = {name: getattr(self, f"as_{name}") for name in names}
        return {name: value for name, value in values.items() if value is not None}
