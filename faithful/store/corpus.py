"""A corpus on disk: Parquet shards of token ids, a manifest that says what they are, and readers.

The manifest (`corpus.json`) is the truth: a shard counts when the manifest names it with its checksum. Each split is a
prefix of samples by index, without holes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.records import fit, read_record, write_record
from faithful.base.shapes import Count, Sha256, Text, shown
from faithful.base.suggest import did_you_mean
from faithful.store.manifest_parts import (
    Certificate,
    Identity,
    Kind,
    Provenance,
    Requested,
    Segment,
    ShardFile,
    Statistics,
    Sums,
)
from faithful.store.token_bounds import refuse_outside

FORMAT = "faithful corpus 1"
MANIFEST = "corpus.json"
PART = "part.json"
SPLITS = {"train": "data", "test": "test"}
ROW_GROUP = 8192
RESTORE = "restore it, or delete the folder and start over"


@dataclass(frozen=True)
class Document:
    """One row.

    Attributes:
        index: position in its split; sample i of the seed domain for own corpora.
        seed: sample seed (0 for external text and for samples of others).
        token_ids: stored tokens: no BOS, a sampled end-of-text kept.
        finish_reason: `stop` (ended by end-of-text) or `length`.
        logprob_p: log p of each token under the model, None for external text.
        logprob_q: log q where q ≠ p and the engine computes it, else None.
        doc_id, source: identity of an external document, None for own samples.
    """

    index: int
    seed: int
    token_ids: list[int]
    finish_reason: str
    logprob_p: list[float] | None = None
    logprob_q: list[float] | None = None
    doc_id: str | None = None
    source: str | None = None


_COLUMNS = [field.name for field in fields(Document)]


@dataclass(frozen=True)
class Shard:
    """A committed shard: rows [first, first + rows) of its split.

    Attributes:
        file: path inside the corpus folder.
        first: index of the first row.
        rows: number of rows.
        tokens: Σ len(token_ids).
        bytes: size of the file.
        sha256: of the file.
        statistics: mergeable sums over the rows.
    """

    file: ShardFile
    first: Count
    rows: Count
    tokens: Count
    bytes: Count
    sha256: Sha256
    statistics: Sums


@dataclass
class Manifest:
    """What a corpus is.

    Attributes:
        name: name of the folder at creation.
        kind: `own` (sampled from the model here), `external`, `foreign` (sampled from the model by others) or `derived`.
        identity: everything that decides the bytes; hashed as `identity_sha256`.
        provenance: what is known beyond that: BOS and its source, generation_config fields not applied, licence …
        requested: the largest budget asked for, in tokens per split.
        segments: engine identities by first sample; more than one after `--accept-engine-change`.
        shards: per split, in order.
        certificate: see `generation.certificate.conclude`; None until computed for the present tokens.
        statistics: see `generation.writing.statistics`; None likewise.
    """

    FILE = MANIFEST
    name: Text
    kind: Kind
    identity: Identity
    provenance: Provenance
    requested: dict[str, int]
    segments: list[Segment] = field(default_factory=list)
    shards: dict[str, list[Shard]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    certificate: Certificate | None = None
    statistics: Statistics | None = None

    def tokens(self, split: str = "train") -> int:
        """Stored tokens of a split."""
        return sum(shard.tokens for shard in self.shards[split])

    def rows(self, split: str = "train") -> int:
        """Documents of a split."""
        return sum(shard.rows for shard in self.shards[split])


@dataclass(frozen=True)
class _Shards:
    train: list[Shard]
    test: list[Shard]


_HEAD = {"format": str, "identity_sha256": Sha256}
_SPLIT = {"requested": Requested, "shards": _Shards}
_Stored = make_dataclass("_Stored", (_HEAD | get_type_hints(Manifest, include_extras=True) | _SPLIT).items())
"""A manifest in its file, where every field must be."""


class Corpus:
    """A corpus folder, opened for reading.

    Raises:
        FaithfulError: there is no manifest, or it cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def tokens(self, split: str = "train") -> int:
        """Stored tokens of a split."""
        return self.manifest.tokens(split)

    def batches(self, split: str = "train", columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Arrow batches of at most 8,192 rows in index order; memory is bounded by one row group.

        Raises:
            FaithfulError: a shard is missing or damaged, is no longer the one that the manifest named when it was read, or
                holds ids outside its model's vocabulary.
        """
        for shard in self.manifest.shards[split]:
            path = self.folder / shard.file
            if not is_intact(self.folder, shard):
                raise self._unreadable(shard)
            try:
                for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=ROW_GROUP, columns=columns):
                    if "token_ids" in batch.schema.names:
                        vocab_size = self.manifest.identity["model"]["vocab_size"]
                        refuse_outside(batch.column("token_ids").flatten(), vocab_size, str(path))
                    yield batch
            except (OSError, pa.ArrowException) as error:
                raise self._unreadable(shard) from error

    def refuse_damaged(self, *splits: str) -> None:
        """Compare the shards of splits, or all, with their checksums, before work that would come to a damaged one late.

        Raises:
            FaithfulError: one is missing or damaged.
        """
        for shard in chain.from_iterable(self.manifest.shards[split] for split in splits or SPLITS):
            if not is_intact(self.folder, shard):
                raise self._unreadable(shard)

    def _unreadable(self, shard: Shard) -> FaithfulError:
        if not any(shard in shards for shards in read_manifest(self.folder).shards.values()):
            return FaithfulError(f"{self.folder} changed while it was read; run the same command again.")
        return FaithfulError(
            f"Cannot read {self.folder / shard.file}: it is missing or damaged; run the command that made the corpus again to"
            " restore it."
        )

    def documents(self, split: str = "train") -> Iterator[np.ndarray]:
        """Token ids of each document in index order, int64 arrays."""
        for batch in self.batches(split, ["token_ids"]):
            tokens, offsets = flat_tokens(batch)
            yield from np.split(tokens, offsets[1:-1])


def flat_tokens(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of a batch, joined, and the offsets of its documents.

    Returns:
        int64 [tokens] and int64 [rows + 1], offsets[0] = 0.
    """
    column = batch.column("token_ids")
    offsets = column.offsets.to_numpy().astype(np.int64)
    tokens = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]].astype(np.int64)
    return tokens, offsets - offsets[0]


def schema(vocab_size: int) -> pa.Schema:
    """Columns of a shard; token ids are uint16 where the vocabulary allows it."""
    token = pa.uint16() if vocab_size <= 2**16 else pa.uint32()
    return pa.schema(
        [
            pa.field("index", pa.int64(), nullable=False),
            pa.field("seed", pa.int64(), nullable=False),
            pa.field("token_ids", pa.list_(token)),
            pa.field("text", pa.string()),
            pa.field("n_tokens", pa.int32(), nullable=False),
            pa.field("finish_reason", pa.string()),
            pa.field("logprob_p", pa.list_(pa.float32())),
            pa.field("logprob_q", pa.list_(pa.float32())),
            pa.field("doc_id", pa.string()),
            pa.field("source", pa.string()),
        ]
    )


def to_table(documents: list[Document], texts: list[str], vocab_size: int) -> pa.Table:
    """Arrow table of documents with their decoded texts.

    Raises:
        FaithfulError: an id lies outside the vocabulary.
    """
    columns: dict[str, list[Any]] = {name: [getattr(document, name) for document in documents] for name in _COLUMNS}
    columns |= {"text": texts, "n_tokens": [len(document.token_ids) for document in documents]}
    ids = pa.array(columns["token_ids"], pa.list_(pa.int64()))
    refuse_outside(ids.flatten(), vocab_size, "What was to be written")
    columns["token_ids"] = ids.cast(schema(vocab_size).field("token_ids").type)
    return pa.table(columns, schema=schema(vocab_size))


def from_table(table: pa.Table) -> list[Document]:
    """The documents of a shard (their texts left out)."""
    return [Document(**row) for row in table.select(_COLUMNS).to_pylist()]


def shard_path(split: str, number: int) -> str:
    """File of shard `number` of a split, inside the corpus folder."""
    return f"{SPLITS[split]}/part-{number:05d}.parquet"


def read_manifest(folder: Path) -> Manifest:
    """Read `corpus.json`.

    Raises:
        FaithfulError: missing, damaged, or of an unknown format.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FaithfulError(f"{folder} is not a corpus: it has no {MANIFEST}; {_what_instead(folder)}")
    manifest = Manifest(**stored_fields(path))
    for split, listed in manifest.shards.items():
        _refuse_holes(path, split, listed)
    return manifest


def stored_fields(path: Path, **more: Any) -> dict[str, Any]:
    """The fields of a manifest in its file; `more` are those that it has besides, with their types.

    Raises:
        FaithfulError: damaged, or of an unknown format.
    """
    values = read_record(path, dict, RESTORE)
    if values.get("format", FORMAT) != FORMAT:
        raise FaithfulError(f"{path} has format {shown(values['format'])}; this version reads '{FORMAT}'.")
    fit(values, make_dataclass("_More", more.items(), bases=(_Stored,)) if more else _Stored, str(path), RESTORE)
    if digest(values["identity"]) != values["identity_sha256"]:
        raise FaithfulError(f"{path} was edited: its identity does not match its hash; restore it from a backup.")
    shards = {split: [Shard(**shard) for shard in values["shards"][split]] for split in SPLITS}
    return {name: value for name, value in values.items() if name not in _HEAD} | {"shards": shards}


def _refuse_holes(path: Path, split: str, shards: list[Shard]) -> None:
    """A split is a prefix of its samples, each in one file and counted once."""
    firsts = [0, *accumulate(shard.rows for shard in shards)]
    is_whole = [shard.first for shard in shards] == firsts[:-1] and len({shard.file for shard in shards}) == len(shards)
    if not is_whole or any(not shard.file.startswith(f"{SPLITS[split]}/") for shard in shards):
        raise FaithfulError(f"{path} is damaged: its shards of `{split}` do not follow each other; {RESTORE}.")


def _what_instead(folder: Path) -> str:
    """What to name instead of a folder that is no corpus: one below it, one of nearly its name, else how to make one."""
    if (folder / PART).exists():
        return "it is a part of one; join the parts with `faithful corpus join`."
    below = sorted(path.parent for pattern in ("*", "corpora/*") for path in folder.glob(f"{pattern}/{MANIFEST}"))
    if below:
        return f"name one of those below it: {', '.join(map(str, below))}."
    near = {path.parent.name: path.parent for path in sorted(Path("runs").glob(f"*/corpora/*/{MANIFEST}"))}
    near |= {path.parent.name: path.parent for path in sorted(folder.absolute().parent.glob(f"*/{MANIFEST}"))}
    suggestion = did_you_mean(folder.name, near, shown=near)
    return f"make one with `faithful generate`.{suggestion}"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `corpus.json` atomically; of a part `part.json`."""
    head = {"format": FORMAT, "identity_sha256": digest(manifest.identity)}
    write_record(folder / manifest.FILE, head | asdict(manifest))


def intact_shards(folder: Path, shards: list[Shard]) -> list[bool]:
    """For each shard whether its file is there and has the recorded checksum."""
    return [is_intact(folder, shard) for shard in shards]


def is_intact(folder: Path, shard: Shard) -> bool:
    """Whether a shard's file is there, has the recorded checksum and holds the recorded rows and tokens.

    A file is read for it once per process, and again when it was written meanwhile.

    Raises:
        FaithfulError: it cannot be read.
    """
    path = folder / shard.file
    try:
        status = path.stat()
    except OSError:
        return False
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return (
        path.is_file()
        and status.st_size == shard.bytes
        and _sha256(path, state) == shard.sha256
        and _sizes(path, state) == (shard.rows, shard.tokens)
    )


@lru_cache(maxsize=65536)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    """Hash of a file as it was at `state`."""
    return sha256_file(path)


@lru_cache(maxsize=65536)
def _sizes(path: Path, state: tuple[int, ...]) -> tuple[int, int]:
    """Rows and tokens of a shard."""
    try:
        lengths = pq.ParquetFile(path, pre_buffer=False).read(["n_tokens"])["n_tokens"]
    except (OSError, KeyError, pa.ArrowException):
        return (-1, -1)
    return len(lengths), sum(chunk.sum().as_py() or 0 for chunk in lengths.chunks)
