"""What `faithful corpus export` is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT


@dataclass(frozen=True)
class ExportConfig:
    """What to write."""

    COMMAND: ClassVar = "corpus export"

    folder: Annotated[Path, ARGUMENT]
    """Corpus folder."""
    context: int
    """Tokens per row, BOS included."""
    layout: str = "packed"
    """packed (rows of equal length, what SAELens and sparsify read) or aligned (a document per row)."""
    out: Path | None = None
    """Target folder; default exports/CORPUS-input_ids-LAYOUT-CONTEXT in the corpus' run, else beside the corpus."""
