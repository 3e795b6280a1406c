"""Results kept between runs of a study, so that one that was killed, or told more, computes nothing again."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from faithful.base.digest import digest
from faithful.base.files import write_tensors
from faithful.base.records import check_archive, read_cache, write_record
from faithful.executor.parts import end_part, own
from faithful.store.saes import TrainedSae

Kept = TypeVar("Kept", bound=Mapping[str, Any])


class ResultCache:
    """A folder of results, each named by the digest of all that decides it.

    `KEY.json` is a result, `KEY.pt` one that holds tensors. What single passes over a text gave an SAE whose result is not
    whole is in `KEY/PASS.pt`, and goes when the result is written.

    Args:
        folder: made when something is kept.
        decides: JSON values that decide all its results, each beside its own key.

    Attributes:
        reused: results that were there already.
    """

    def __init__(self, folder: Path, *decides: Any) -> None:
        self.folder, self._decides = folder, decides
        self.reused = 0

    def get(self, *key: Any, label: str = "") -> dict[str, Any] | None:
        """A result, None where it is still to be computed.

        Args:
            key: JSON values that decide it.
            label: for people, at the beginning of its file's name.

        Raises:
            FaithfulError: its file is damaged.
        """
        path = self._path(key, ".json", label)
        kept = read_cache(path)
        self.reused += kept is not None
        if kept is not None:  # who wrote it may have been killed before its passes were gone
            _remove_passes(path)
        return kept

    def put(self, values: Kept, *key: Any, label: str = "") -> Kept:
        """Keep a result, and give it back."""
        path = self._path(key, ".json", label)
        write_record(path, values)
        _remove_passes(path)
        return values

    def once(self, compute: Callable[[], Kept], *key: Any, label: str = "") -> Kept:
        """A result, computed where it is not kept."""
        kept = self.get(*key, label=label)
        return self.put(compute(), *key, label=label) if kept is None else cast(Kept, kept)

    def tensors(self, compute: Callable[[Path], Any], *key: Any) -> Any:
        """A result of plain values and tensors, on the CPU, computed where it is not kept.

        Args:
            compute: gives it; is told the path of a checkpoint of its own, which goes when the result is written.
            key: as in `get`.

        Raises:
            FaithfulError: its file is damaged.
        """
        path = self._path(key, ".pt")
        checkpoint = path.with_suffix(".checkpoint")
        if not path.exists():
            write_tensors(path, compute(checkpoint))
        checkpoint.unlink(missing_ok=True)
        return _read_tensors(path)

    def has(self, *key: Any, label: str = "") -> bool:
        """Whether a result is kept, read or not."""
        return self._path(key, ".json", label).exists()

    def has_tensors(self, *key: Any) -> bool:
        """Whether a result of tensors is kept."""
        return self._path(key, ".pt").exists()

    def kept_tensors(self, *key: Any) -> Any:
        """A result of tensors that is kept, on the CPU.

        Raises:
            FaithfulError: its file is damaged, or not there.
        """
        return _read_tensors(self._path(key, ".pt"))

    def figures(
        self, saes: Sequence[TrainedSae], measure: Callable[[list[TrainedSae]], Iterable[Kept]]
    ) -> dict[str, Kept]:
        """Results of SAEs by their hashes, those that are missing measured together and kept one by one.

        Raises:
            PartDone: those of a part of the SAEs are kept; SAEs of one seed, which began alike, lie together in it.
        """
        every, saes = saes, own(saes, order=lambda sae: -1 if sae.seed is None else sae.seed)
        kept = {sae.sha256: self.get(sae.sha256) for sae in saes}
        missing = list({sae.sha256: sae for sae in saes if kept[sae.sha256] is None}.values())
        done = {name: cast(Kept, found) for name, found in kept.items() if found is not None}
        for sae, found in zip(missing, measure(missing) if missing else [], strict=True):
            done[sae.sha256] = self.put(found, sae.sha256)
        end_part(len(saes), self.reused, lambda: sum(not self.has(sae.sha256) for sae in every))
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
        return _read_tensors(self._pass(sae, read))

    def clear(self) -> None:
        """Remove all of it: results that another one was made of, and that nobody asks for again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: Sequence[Any], ending: str, label: str = "") -> Path:
        name = digest([*self._decides, *key])[:32]
        return self.folder / f"{label}{'-' if label else ''}{name}{ending}"

    def _pass(self, sae: TrainedSae, read: str) -> Path:
        return self._path([sae.sha256], "") / f"{read}.pt"


def _remove_passes(path: Path) -> None:
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _read_tensors(path: Path) -> Any:
    check_archive(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
