"""What the tokens of a corpus told a training, kept beside its SAEs so that they are read once.

The manifest holds the hash of every shard: the same shards, read in the same way, tell the same again.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from faithful.base.records import read_cache, seal_of, update_record
from faithful.base.shapes import Count, Sha256
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus

NAME = ".readings.json"
VERSION = 1
"""Counts changes of how documents become rows, after which what was read before says nothing."""
KEPT = dict[Sha256, list[Count] | Sha256]


class Readings:
    """The readings kept in a folder of SAEs.

    Args:
        folder: of the SAEs; nothing is written there before `keep`.

    Raises:
        FaithfulError: the file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._known = read_cache(self.path, KEPT) or {}
        self._new: dict[str, Any] = {}

    def of(
        self, corpus: Corpus, split: str, spec: ModelSpec, how: Mapping[str, object], read: Callable[[], Any]
    ) -> Any:
        """What `read()` tells of a split, read only where that is not known: numbers, or a hash.

        Args:
            corpus: an opened corpus.
            split: `train` or `test`.
            spec: the model that reads it.
            how: what is read, and in what way: with the shards and the model all that decides the answer.
            read: reads it.
        """
        key_parts = {
            "version": VERSION,
            "shards": [shard.sha256 for shard in corpus.manifest.shards[split]],
            "made_for": corpus.manifest.identity["model"],
            "read_by": [spec.revision, spec.bos_id, list(spec.eos_ids)],
        }
        key = seal_of({**key_parts, **how})
        if key not in self._known:
            self._known[key] = self._new[key] = read()
        return self._known[key]

    def keep(self) -> None:
        """Write what was read since the folder was opened, beside what other trainings keep there."""
        if self._new:
            update_record(self.path, KEPT, lambda known: dict(sorted((known | self._new).items())))
            self._new = {}
