"""What `faithful corpus mix | shuffle | dedup | subsample` are told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Count

Folder = Annotated[Path, ARGUMENT, MAY_BE_MISSING]


@dataclass(frozen=True)
class MixConfig:
    """What to mix."""

    COMMAND: ClassVar = "corpus mix"

    folders: Annotated[tuple[Path, ...], ARGUMENT, MAY_BE_MISSING]
    """Two corpora or more; default: all of the current run, not the derived."""
    weights: tuple[float, ...] | None = None
    """Shares of the tokens, 3,1 or one each; default: equal."""
    tokens: Count | None = None
    """Training tokens; default: all that the scarcest corpus allows."""
    out: Path | None = None
    """New corpus; default mix-A-B beside A."""
    shard_rows: int | None = None
    """Documents per shard; default: the existing corpus', else 4,096."""


@dataclass(frozen=True)
class ShuffleConfig:
    """What to shuffle."""

    COMMAND: ClassVar = "corpus shuffle"

    folder: Folder
    """Corpus folder; default: the one corpus of the current run that is not derived."""
    seed: int = 0
    """Of the random choices."""
    out: Path | None = None
    """New corpus; default A-shuffled beside A, with -sN for another seed than 0."""
    shard_rows: int | None = None
    """Documents per shard; default: the existing corpus', else 4,096."""


@dataclass(frozen=True)
class DedupConfig:
    """What to remove duplicates from."""

    COMMAND: ClassVar = "corpus dedup"

    folder: Folder
    """Corpus folder; default: the one corpus of the current run that is not derived."""
    near: bool = False
    """Near-duplicates too: Jaccard ≥ 0.8 on 5-grams of tokens, by MinHash."""
    out: Path | None = None
    """New corpus; default A-dedup beside A, or A-dedup-near."""
    shard_rows: int | None = None
    """Documents per shard; default: the existing corpus', else 4,096."""


@dataclass(frozen=True)
class SubsampleConfig:
    """What to take a part of."""

    COMMAND: ClassVar = "corpus subsample"

    folder: Folder
    """Corpus folder; default: the one corpus of the current run that is not derived."""
    tokens: Count | None = None
    """Training tokens: 20000, 20k, 1M; with --like by default as many as the lengths allow."""
    like: Path | None = None
    """Corpus whose histogram of lengths to match."""
    seed: int = 0
    """Of the random choices."""
    out: Path | None = None
    """New corpus; default A-sub-N, A-like-B or A-like-B-N beside A, with -sN for another seed than 0."""
    shard_rows: int | None = None
    """Documents per shard; default: the existing corpus', else 4,096."""
