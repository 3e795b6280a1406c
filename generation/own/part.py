"""Parts of a corpus: which of its shards one makes, while nobody knows yet how many tokens the others hold.

Of the shards of a corpus, part i of n makes those with j ≡ i mod n, each whole. Shard j belongs to the corpus where those
before it hold too few tokens; a part judges that by the lengths of the samples that it has drawn, and rather makes a shard
too many than one too few. Its first one it always makes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.quantities import Part
from faithful.store.corpus import PART, SPLITS, Manifest, Shard
from faithful.store.corpus_part import PartManifest, read_part
from generation.own.schedule import SplitSchedule
from generation.writing.recorded import existing_corpus

DEVIATIONS = 4.0


@dataclass(frozen=True)
class PartWish:
    """What part to make.

    Attributes:
        place: which.
        shards: of the corpus, training and held-out, as `corpus join` names them; None where that is estimated.
    """

    place: Part
    shards: tuple[int, int] | None = None

    def begin(self, manifest: Manifest) -> PartManifest:
        """The manifest of the part, of that of a corpus that is not begun."""
        return PartManifest(**vars(manifest), part=str(self.place))

    def existing(self, folder: Path) -> PartManifest | None:
        """The manifest of the part in a folder; None where there is none yet.

        Raises:
            FaithfulError: the folder holds another part, a whole corpus or other things.
        """
        if not (folder / PART).exists():
            if existing_corpus(folder):
                raise FaithfulError(f"{folder} holds a whole corpus; give the part a folder of its own with --out.")
            return None
        manifest = read_part(folder)
        if manifest.place != self.place:
            raise FaithfulError(f"{folder} holds part {manifest.part}, not {self.place}; choose another --out.")
        return manifest

    def schedule(self, manifest: Manifest, split: str, wanted: int, *common: Any) -> "PartSchedule":
        """The open work of a split; `common` is what `SplitSchedule` is told after the target."""
        told = self.shards[list(SPLITS).index(split)] if self.shards else None
        seen = manifest.shards["train"] if split == "test" else []
        return PartSchedule(split, self, wanted, told, seen, *common)


class PartSchedule(SplitSchedule):
    """The open work of one split of a part.

    Args:
        split: `train` or `test`.
        wish: which part.
        wanted: tokens of the whole corpus.
        told: shards of the whole corpus, where they are known.
        seen: shards whose samples say how long those of this split are, besides those that are made here. Only these
            grow in number, and with it what is certain: judged by a fixed number no corpus might be long enough.
        common: as in `SplitSchedule`, from `domain` on without `target`.
    """

    def __init__(
        self, split: str, wish: PartWish, wanted: int, told: int | None, seen: Sequence[Shard], *common: Any
    ) -> None:
        self.place, self.wanted, self.told, self.seen = wish.place, wanted, told, seen
        self._counted: tuple[int, Lengths | None] | None = None
        domain, seed, *others = common
        super().__init__(split, domain, seed, -(-wanted // wish.place.of), *others)

    def reached(self, shards: int, tokens: float) -> bool:
        """Whether the shard after so many is not wanted."""
        if not self.target:
            return True
        number = self.shard_number(shards)
        if self.told is not None:
            return number >= self.told
        seen, rows = self._seen(), number * self.settings.shard_rows
        if shards > len(self.shards):  # Planned ahead by the mean: cautiously it may be that no number is enough.
            return (seen.at_least(rows, 0) if seen else rows * self.mean_tokens) >= self.wanted
        return seen is not None and seen.at_least(rows) >= self.wanted

    def _seen(self) -> "Lengths | None":
        """The lengths of all samples that are seen, counted once for each shard that is added."""
        if self._counted is None or self._counted[0] != len(self.shards):
            self._counted = len(self.shards), Lengths.of([*self.seen, *self.shards])
        return self._counted[1]

    def is_cut_at(self, tokens: float) -> bool:
        """Never: whoever joins the parts cuts."""
        return False

    def shard_number(self, place: int) -> int:
        """Number in the corpus."""
        return self.place.number + place * self.place.of


@dataclass(frozen=True)
class Lengths:
    """How long the samples of some shards are: how many there are, the mean and the variance of their tokens."""

    samples: int
    mean: float
    variance: float

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> "Lengths | None":
        """Those of the samples of shards; None where there is none."""
        counts: Counter[int] = Counter()
        for shard in shards:
            counts.update({int(length): count for length, count in shard.statistics["lengths"].items()})
        samples = counts.total()
        if not samples:
            return None
        mean = sum(length * count for length, count in counts.items()) / samples
        return cls(samples, mean, sum((length - mean) ** 2 * count for length, count in counts.items()) / samples)

    def at_least(self, rows: int, deviations: float = DEVIATIONS) -> float:
        """Tokens that so many other samples hold but for some standard deviations of their sum.

        The variance of the sum of m lengths, less m times the mean of n others, is σ² (m + m²/n).
        """
        return rows * self.mean - deviations * math.sqrt(self.variance * (rows + rows**2 / self.samples))
