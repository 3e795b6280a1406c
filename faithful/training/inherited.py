"""Settings of the SAEs that a folder holds already: a training that adds to them takes theirs where it states none."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.formats.files import CONFIG
from faithful.formats.record import Identity
from faithful.hooks.hook import Hook
from faithful.models.spec import ModelSpec
from faithful.store.saes import read_sae
from faithful.training.identity import shape_name

SETTINGS = {"model", "revision", "corpus", "context", "tokens", "epochs", "batch", "buffer", "lr"}


@dataclass(frozen=True)
class InheritedSettings:
    """What the SAEs in a folder were trained with.

    Attributes:
        out: the folder.
        cells: for each shape the identities of its finished cells: those of the corpora at hand, or else of all.
    """

    out: Path
    cells: dict[tuple[int, int], list[Identity]]

    @classmethod
    def find(
        cls,
        out: Path,
        spec: ModelSpec,
        hook: Hook,
        shapes: tuple[tuple[int, int], ...],
        variant: str,
        corpora: set[str],
    ) -> "InheritedSettings":
        """Cells of a model, a hook and a variant."""
        cells = {}
        for shape in shapes:
            folders = [
                path.parent for path in sorted(out.glob(f"*/{shape_name(hook, *shape, variant)}/seed-*/{CONFIG}"))
            ]
            recorded = [one for one in (read_sae(path).identity for path in folders) if one.keys() >= SETTINGS]
            cells[shape] = [one for one in recorded if (one["model"], one["revision"]) == (spec.name, spec.revision)]
        own = {shape: [one for one in found if one["corpus"] in corpora] for shape, found in cells.items()}
        return cls(out, own if any(own.values()) else cells)

    def value(self, setting: str, shapes: Iterable[tuple[int, int]] | None = None) -> Any:
        """A setting of these cells, None without any.

        Raises:
            FaithfulError: it is not the same for all.
        """
        every: list[Any] = [dict(one)[setting] for shape in shapes or self.cells for one in self.cells[shape]]
        if len(set(every)) > 1:
            found = " and ".join(f"{value:,}" for value in sorted(set(every))[:2])
            raise FaithfulError(f"{self.out} holds SAEs trained with {setting} {found}; choose with --{setting}.")
        return every[0] if every else None
