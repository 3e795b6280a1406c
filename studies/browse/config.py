"""What `faithful browse` is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Count, Place, Typed, names


@dataclass(frozen=True)
class BrowseConfig:
    """What to make pages of."""

    COMMAND: ClassVar[str] = "browse"

    run: Annotated[Place, ARGUMENT, MAY_BE_MISSING, Typed(metavar="[RUN]")]
    """Run; default: the current one."""
    out: Path | None = None
    """Folder of the pages; default RUN/browse."""
    saes: Annotated[tuple[str, ...], names("--sae")] = ()
    """SAEs of a corpus, as own, or one of them, as own/seed-0; repeat it. Default: all."""
    corpora: Annotated[tuple[Path, ...], names("--corpus")] = ()
    """Corpus whose held-out text is read, or a run; repeat it. Default: those trained on, where they are still found."""
    model: str | None = None
    """Preset name, Hub id, folder or GGUF file; default: the corpora's."""
    latents: Count | None = None
    """The first so many latents of each SAE; default all."""
    tokens: Count | None = None
    """Tokens of held-out text in all, and as many random ones; default 30k on a CPU, 200k on a GPU."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""
    seed: int = 0
    """Of the random tokens."""
