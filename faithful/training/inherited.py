"""Settings of the SAEs that a folder holds already: a training that adds to them takes theirs where it states none."""

import re
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
from faithful.store.shape import Shape, shape_name
from faithful.training.identity import variant_identity

SETTINGS = {"model", "revision", "corpus", "context", "tokens", "epochs", "batch", "buffer", "lr"}
VARIANT = ("variant", "parameters")


@dataclass(frozen=True)
class InheritedSettings:
    """What the SAEs in a folder were trained with.

    Attributes:
        out: the folder.
        cells: for each shape the identities of its finished cells, of other variants where it has none: those of the corpora
            at hand, or else of all.
    """

    out: Path
    cells: dict[Shape, list[Identity]]

    @classmethod
    def find(
        cls, out: Path, spec: ModelSpec, hook: Hook, shapes: tuple[Shape, ...], corpora: set[str]
    ) -> "InheritedSettings":
        """Cells of a model and a hook."""
        cells = {}
        of_width = {shape[:2]: _recorded(out, spec, hook, *shape[:2]) for shape in shapes}
        for shape in shapes:
            like = variant_identity(shape.variant)
            recorded = of_width[shape[:2]]
            alike = [one for one in recorded if all(one.get(name) == like.get(name) for name in VARIANT)]
            cells[shape] = alike or recorded
        own = {shape: [one for one in found if one["corpus"] in corpora] for shape, found in cells.items()}
        return cls(out, own if any(own.values()) else cells)

    def value(self, setting: str, shapes: Iterable[Shape] | None = None) -> Any:
        """A setting of these cells, None without any.

        Raises:
            FaithfulError: it is not the same for all.
        """
        every: list[Any] = [dict(one)[setting] for shape in shapes or self.cells for one in self.cells[shape]]
        if len(set(every)) > 1:
            found = " and ".join(f"{value:,}" for value in sorted(set(every))[:2])
            raise FaithfulError(f"{self.out} holds SAEs trained with {setting} {found}; choose with --{setting}.")
        return every[0] if every else None


def _recorded(out: Path, spec: ModelSpec, hook: Hook, d_sae: int, k: int) -> list[Identity]:
    """The identities of all finished cells of a width and a k, whatever their variant."""
    name = shape_name(d_sae, k)
    found = [path.parent for path in sorted(out.glob(f"*/{hook.name}-{name}*/seed-*/{CONFIG}"))]
    identities = [read_sae(folder).identity for folder in found if re.search(rf"-{name}(-|$)", folder.parent.name)]
    recorded = [one for one in identities if one.keys() >= SETTINGS]
    return [one for one in recorded if (one["model"], one["revision"]) == (spec.name, spec.revision)]
