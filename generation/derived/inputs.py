"""The corpora that another one is derived from: opened, checked, identified."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.quantities import format_count, parse_count
from faithful.store.corpus import SPLITS, Corpus, read_manifest
from faithful.store.manifest_parts import InputName, InputPart


@dataclass(frozen=True)
class Input:
    """A corpus that documents are taken from.

    Attributes:
        name: its folder's name, numbered where an earlier input is called the same.
        corpus: it, opened.
    """

    name: str
    corpus: Corpus

    def identity(self) -> InputName:
        """What it is, as part of an identity: `content_sha256` is the hash of all its shards' checksums."""
        manifest = self.corpus.manifest
        content = {split: [shard.sha256 for shard in shards] for split, shards in manifest.shards.items()}
        return {
            "name": self.name,
            "identity_sha256": digest(manifest.identity),
            "content_sha256": digest(content),
        }

    def summary(self) -> InputPart:
        """What is known of it in short, for a provenance: size, model, and what else its manifest says of its making."""
        manifest = self.corpus.manifest
        model = manifest.identity["model"] | manifest.provenance["model"]
        said = ("name", "revision", "licence", *(("load",) if model.get("load") else ()))
        part = {
            "name": self.name,
            "kind": manifest.kind,
            "model": {name: model.get(name) for name in said},
            "documents": {split: manifest.rows(split) for split in SPLITS},
            "tokens": {split: manifest.tokens(split) for split in SPLITS},
            "identity": {name: value for name, value in manifest.identity.items() if name not in ("model", "engine")},
            "provenance": {name: value for name, value in manifest.provenance.items() if name != "model"},
        }
        return cast(InputPart, part)


def open_inputs(folders: tuple[Path, ...]) -> tuple[Input, ...]:
    """Open corpora that can be used together: of one tokenizer, none twice.

    Raises:
        FaithfulError: one is no corpus, is empty, comes twice, or was made with another tokenizer than the first.
    """
    inputs: list[Input] = []
    for folder in folders:
        corpus = Corpus(folder)
        if not corpus.tokens():
            raise FaithfulError(f"{folder} holds no training tokens yet; run the command that makes it again.")
        same = sum(entry.corpus.name == corpus.name for entry in inputs)
        new = Input(f"{corpus.name}#{same + 1}" if same else corpus.name, corpus)
        for entry in inputs:
            if entry.identity()["content_sha256"] == new.identity()["content_sha256"]:
                raise FaithfulError(
                    f"{folder} and {entry.corpus.folder} hold the same documents; name each corpus once."
                )
        inputs.append(new)
        _refuse_other_tokenizer(inputs[0], new)
    return tuple(inputs)


def sibling(folder: Path, name: str) -> Path:
    """The folder `name` beside `folder`, where derived corpora go by default."""
    return (folder if folder.name not in ("", "..") else folder.resolve()).parent / name


def document_lengths(corpus: Corpus, split: str) -> np.ndarray:
    """Stored tokens of each document of a split, int32 [rows]."""
    parts = [batch.column("n_tokens").to_numpy() for batch in corpus.batches(split, ["n_tokens"])]
    return np.concatenate([np.empty(0, np.int32), *parts])


def short_count(tokens: int) -> str:
    """A count as part of a folder's name, exact: `20k`, `1.5M`, `1234567`."""
    short = format_count(tokens)
    return short if "," not in short and parse_count(short) == tokens else str(tokens)


def refuse_damage(corpus: Corpus) -> None:
    """Compare every shard of both splits with its checksum.

    Raises:
        FaithfulError: one is missing or damaged, or the corpus has grown since it was opened; names it.
    """
    if read_manifest(corpus.folder).shards != corpus.manifest.shards:
        raise FaithfulError(f"{corpus.folder} changed while it was read; run the same command again.")
    corpus.refuse_damaged()


def said_of_unfinished(inputs: tuple[Input, ...]) -> str:
    """A sentence, after a blank, on corpora that have not reached the tokens asked for; "" when all have."""
    unfinished = []
    for entry in inputs:
        manifest = entry.corpus.manifest
        for split, wanted in manifest.requested.items():
            there, ended = manifest.tokens(split), split in manifest.provenance.get("exhausted", [])
            if there < wanted and not ended:
                unfinished.append(f"{entry.name} has reached {there:,} of the {wanted:,} {split} tokens asked for")
    return f" It is made of what was there: {'; '.join(unfinished)}." if unfinished else ""


def _refuse_other_tokenizer(first: Input, second: Input) -> None:
    ours, theirs = (entry.corpus.manifest.identity["model"] for entry in (first, second))
    for differs, words in (
        (ours["tokenizer_sha256"] != theirs["tokenizer_sha256"], "another tokenizer"),
        (ours["bos_id"] != theirs["bos_id"], "another start token (BOS)"),
        (ours["eos_ids"] != theirs["eos_ids"], "other end-of-text ids"),
    ):
        if differs:
            raise FaithfulError(
                f"{second.corpus.folder} was made with {words} than {first.corpus.folder}; use corpora of one tokenizer."
            )
