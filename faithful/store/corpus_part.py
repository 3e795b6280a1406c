"""A part of a corpus that is not joined yet: some of its shards, each whole. It has `part.json` in place of `corpus.json`, so
that nobody takes it for a corpus."""

from dataclasses import dataclass
from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part, parse_part
from faithful.base.shapes import Text
from faithful.store.corpus import PART, RESTORE, Manifest, shard_path, stored_fields


@dataclass
class PartManifest(Manifest):
    """What a part is: a manifest whose shards are those with j ≡ number mod `of`, in order.

    Attributes:
        part: `3/16`.
    """

    FILE = PART
    part: str = ""

    @property
    def place(self) -> Part:
        """Which part it is."""
        return parse_part(self.part)

    def numbers(self, split: str) -> list[int]:
        """Numbers in the corpus of the shards that are there."""
        place = self.place
        return [place.number + place.of * row for row in range(len(self.shards[split]))]


def read_part(folder: Path) -> PartManifest:
    """Read `part.json`.

    Raises:
        FaithfulError: it is missing or damaged, or names shards that are not its own.
    """
    path = folder / PART
    if not path.exists():
        raise FaithfulError(f"{folder} is no part of a corpus: it has no {PART}; `faithful generate --part` makes one.")
    manifest = PartManifest(**stored_fields(path, part=Text))
    rows = manifest.identity["engine"]["shard_rows"]
    for split, shards in manifest.shards.items():
        own = [(shard_path(split, number), number * rows, rows) for number in manifest.numbers(split)]
        if own != [(shard.file, shard.first, shard.rows) for shard in shards]:
            raise FaithfulError(f"{path} is damaged: its shards of `{split}` are not those of its part; {RESTORE}.")
    return manifest
