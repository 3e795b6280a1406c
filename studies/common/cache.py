"""What a study keeps between runs: the finished figures of each SAE.

While an SAE's figures are not whole, what single passes over a text gave is kept beside them, so that a killed study goes on
with the next pass; it is deleted once the figures are written.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from faithful.base.files import write_tensors
from faithful.base.records import check_archive, read_cache, write_record
from faithful.store.saes import TrainedSae

Cell = TypeVar("Cell", bound=Mapping[str, Any])


class Cells:
    """The figures of a study's SAEs.

    Args:
        folder: where they are kept.
        text: hash of all that decides them beside an SAE.

    Attributes:
        reused: SAEs whose figures were there already.
    """

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.text = folder, text
        self.reused = 0

    def figures(
        self, saes: Sequence[TrainedSae], measure: Callable[[list[TrainedSae]], Iterable[Cell]]
    ) -> dict[str, Cell]:
        """Figures of every SAE by its hash, those that are missing measured together."""
        done: dict[str, Cell] = {}
        missing: dict[str, TrainedSae] = {}
        for sae in saes:
            kept = read_cache(self._path(sae))
            if kept is None:
                missing[sae.sha256] = sae
            else:
                done[sae.sha256] = cast(Cell, kept)
                self.reused += 1
        for sha256, found in zip(missing, measure(list(missing.values())) if missing else [], strict=True):
            path = self._path(missing[sha256])
            write_record(path, found)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            done[sha256] = found
        return done

    def lacking(self, saes: Iterable[TrainedSae], read: str) -> list[TrainedSae]:
        """The SAEs for which nothing of a pass was kept: it must still be made for them."""
        return [sae for sae in saes if not self._pass(sae, read).exists()]

    def keep(self, sae: TrainedSae, read: str, values: Any) -> None:
        """Keep what a pass gave an SAE: plain values and tensors."""
        write_tensors(self._pass(sae, read), values)

    def kept(self, sae: TrainedSae, read: str) -> Any:
        """The same, tensors on the CPU.

        Raises:
            FaithfulError: the file is damaged.
        """
        check_archive(self._pass(sae, read))
        return torch.load(self._pass(sae, read), map_location="cpu", weights_only=True)

    def _path(self, sae: TrainedSae) -> Path:
        return self.folder / f"{hashlib.sha256((self.text + sae.sha256).encode()).hexdigest()[:32]}.json"

    def _pass(self, sae: TrainedSae, read: str) -> Path:
        return self._path(sae).with_suffix("") / f"{read}.pt"
