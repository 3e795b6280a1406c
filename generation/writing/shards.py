"""Turn documents into committed Parquet shards: one shard, or whole splits from a stream of documents."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from faithful.models.spec import ModelSpec
from faithful.store.corpus import (
    SPLITS,
    Document,
    Manifest,
    Shard,
    intact_shards,
    to_table,
    write_manifest,
)
from faithful.store.shard_files import EncodedShard, encode_shard
from generation.writing.statistics import shard_statistics, without_closing

SHARD_ROWS = 4096


def decode(tokenizer: Any, bodies: list[list[int]], mapped: int) -> list[str]:
    """Texts of token ids: special tokens kept, ids without a string left out."""
    known = [[token for token in body if token < mapped] for body in bodies]
    return tokenizer.batch_decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def encode_documents(
    split: str, number: int, documents: list[Document], spec: ModelSpec, tokenizer: Any
) -> EncodedShard:
    """Decode documents and take their sums, as shard `number` of a split."""
    texts = decode(tokenizer, [without_closing(d.token_ids, spec.eos_ids) for d in documents], spec.mapped)
    statistics = shard_statistics(documents, texts, tokenizer, spec.eos_ids, spec.mapped, spec.holes)
    return encode_shard(split, number, to_table(documents, texts, spec.vocab_size), statistics)


def write_documents(
    folder: Path, split: str, number: int, documents: list[Document], spec: ModelSpec, tokenizer: Any
) -> Shard:
    """Encode documents as a shard and write it into a corpus."""
    return encode_documents(split, number, documents, spec, tokenizer).write(folder)


class CorpusWriter:
    """Writes splits from streams of documents that can be repeated: rows of shard j are [jK, (j+1)K).

    Each split ends with the document that reaches its target, so only its last shard is rewritten when it grows, and a
    grown corpus equals one made at once. Shards from the first damaged one on are made again. Use it under the folder's
    lock.

    Args:
        folder: the corpus.
        manifest: its manifest, kept up to date.
        spec: the model whose tokenizer made the ids.
        tokenizer: that tokenizer.
        targets: tokens wanted per split, None for all that comes.
        shard_rows: documents per shard (part of the identity).
        before_commit: called with the manifest just before it is written after each shard, to note where the source is.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        spec: ModelSpec,
        tokenizer: Any,
        targets: dict[str, int | None],
        shard_rows: int = SHARD_ROWS,
        before_commit: Callable[[Manifest], None] | None = None,
    ) -> None:
        self.folder, self.manifest, self.spec, self.tokenizer = folder, manifest, spec, tokenizer
        self.targets, self.shard_rows, self.before_commit = targets, shard_rows, before_commit
        self.open: dict[str, list[Document]] = {}
        self.tokens: dict[str, int] = {}
        self.changed = False
        for split in SPLITS:
            shards = self._whole_shards(split)
            if len(shards) < len(manifest.shards[split]):
                manifest.shards[split] = shards
            self.open[split] = []
            self.tokens[split] = manifest.tokens(split)

    def _whole_shards(self, split: str) -> list[Shard]:
        """The split's shards up to the first damaged one, without a partial last one that must grow."""
        shards = self.manifest.shards[split]
        intact = intact_shards(self.folder, shards)
        shards = shards[: intact.index(False)] if False in intact else list(shards)
        target = self.targets[split]
        short = target is None or sum(shard.tokens for shard in shards) < target
        if shards and short and shards[-1].rows < self.shard_rows:
            shards.pop()
        return shards

    def next_row(self, split: str) -> int:
        """Index of the first document that is neither on disk nor in hand."""
        return self.manifest.rows(split) + len(self.open[split])

    def wants(self, split: str) -> bool:
        """Whether the split is short of its target."""
        target = self.targets[split]
        return target is None or self.tokens[split] < target

    def add(self, split: str, document: Document) -> None:
        """Take the document with index `next_row(split)`; one that comes when the target is reached is dropped."""
        if not self.wants(split):
            return
        self.open[split].append(document)
        self.tokens[split] += len(document.token_ids)
        if len(self.open[split]) == self.shard_rows or not self.wants(split):
            self._commit(split)

    def finish(self) -> bool:
        """Write what is in hand; whether anything was written since the beginning."""
        for split in SPLITS:
            if self.open[split]:
                self._commit(split)
        return self.changed

    def _commit(self, split: str) -> None:
        number = len(self.manifest.shards[split])
        shard = write_documents(self.folder, split, number, self.open[split], self.spec, self.tokenizer)
        self.open[split] = []
        self.manifest.shards[split].append(shard)
        self.manifest.certificate = self.manifest.statistics = None
        self.changed = True
        if self.before_commit:
            self.before_commit(self.manifest)
        write_manifest(self.folder, self.manifest)
