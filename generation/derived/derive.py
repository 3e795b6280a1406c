"""Derive a corpus from others: choose documents, change them or not, and record where each came from.

`mix`, `shuffle`, `dedup` and `subsample` are one choice of documents each; everything else is here and the same for all:
what they refuse, what makes a corpus the same, how it is written, killed and completed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter
from faithful.models.tokenizer import load_tokenizer, tokenizer_hash
from faithful.store.corpus import Corpus, Document, Manifest, flat_tokens, write_manifest
from faithful.store.manifest_parts import DerivationPart, Identity, Provenance
from generation.cards.describe import describe
from generation.derived.inputs import Input, refuse_damage, said_of_unfinished
from generation.writing.identity import spec_of
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.recorded import difference, existing_corpus, open_corpus, refuse_otherwise
from generation.writing.shards import SHARD_ROWS, CorpusWriter

COLUMNS = ["seed", "token_ids", "finish_reason", "logprob_p", "logprob_q", "source"]


@dataclass(frozen=True)
class Selection:
    """The documents of one split of the new corpus, in order; those of each input come in its own order.

    Attributes:
        inputs: int16 [rows], which input.
        rows: int64 [rows], index of the document in that input's split, ascending for each input.
        lengths: int32 [rows], stored tokens to keep: fewer than the document has cut it.
    """

    inputs: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray

    @property
    def tokens(self) -> int:
        """Stored tokens."""
        return int(self.lengths.sum(dtype=np.int64))

    def shortest(self, tokens: int) -> "Selection":
        """The first documents with ≥ `tokens` tokens, all of them where there are fewer."""
        stop = int(np.searchsorted(np.cumsum(self.lengths, dtype=np.int64), tokens)) + 1
        return Selection(self.inputs[:stop], self.rows[:stop], self.lengths[:stop])


@dataclass(frozen=True)
class Choice:
    """What an operation makes of its inputs.

    Attributes:
        splits: the documents of `train` and `test`.
        counts: what was counted on the way, per split; kept as `counts` in the provenance.
        note: the same for people, one sentence.
    """

    splits: dict[str, Selection]
    counts: dict[str, Any]
    note: str


@dataclass(frozen=True)
class Derivation:
    """A corpus to derive.

    Attributes:
        operation: `mix`, `shuffle`, `dedup` or `subsample`.
        out: its folder.
        inputs: the corpora whose documents it takes.
        parameters: what decides the bytes beside the inputs.
        choose: chooses the documents.
        change: what becomes of a document of a split, its index still that in the input; None for nothing.
        like: a corpus that is only looked at.
        shard_rows: documents per shard; None is the existing corpus', else 4,096.
    """

    operation: str
    out: Path
    inputs: tuple[Input, ...]
    parameters: DerivationPart
    choose: Callable[[Reporter], Choice]
    change: Callable[[str, Document], Document] | None = None
    like: Input | None = None
    shard_rows: int | None = None

    @property
    def all_inputs(self) -> tuple[Input, ...]:
        """Every corpus that is read."""
        return (*self.inputs, self.like) if self.like else self.inputs


def derive(derivation: Derivation, report: Reporter) -> CorpusResult:
    """Write the corpus, complete it after an interruption, or find that there is nothing to do.

    Raises:
        FaithfulError: a damaged input, an input that has changed since, a corpus there that was made otherwise, an
            `out` that is an input, lies inside one or is in use, nothing left to write, no tokenizer.
    """
    return run_job(_Derived(derivation), report)


class _Derived(CorpusJob):
    """Of inputs that changed nothing is kept: it could not be completed."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation, self.folder = derivation, derivation.out
        self.command = f"corpus {derivation.operation}"
        _refuse_inputs_as_output(derivation)
        _refuse_larger_vocabulary(derivation)
        self.manifest = _open(derivation)

    def go_on(self, manifest: Manifest) -> None:
        self.manifest = _open(self.derivation)

    def is_reached(self) -> bool:
        return all(self.manifest.tokens(split) == tokens for split, tokens in self.manifest.requested.items())

    def settle(self, report: Reporter) -> None:
        for entry in self.derivation.all_inputs:
            refuse_damage(entry.corpus)
        self.choice = self.derivation.choose(report)
        if not self.choice.splits["train"].tokens:
            names = " and ".join(entry.name for entry in self.derivation.inputs)
            raise FaithfulError(f"The {self.derivation.operation} of {names} leaves no training tokens; ask for more.")
        self.spec = spec_of(self.manifest)
        self.tokenizer = load_tokenizer(self.spec.files, self.spec.hub_revision())
        if tokenizer_hash(self.tokenizer) != self.spec.tokenizer_sha256:
            raise FaithfulError(
                f"The tokenizer of {self.spec.source} is not the one that {self.derivation.inputs[0].corpus.folder} was made"
                " with; put the old one back."
            )

    def write(self, report: Reporter) -> bool:
        manifest, choice = self.manifest, self.choice
        manifest.requested = {split: selection.tokens for split, selection in choice.splits.items()}
        manifest.provenance["counts"] = choice.counts
        write_manifest(self.folder, manifest)
        shard_rows = manifest.identity["shard_rows"]
        writer = CorpusWriter(self.folder, manifest, self.spec, self.tokenizer, dict(manifest.requested), shard_rows)
        for split, selection in choice.splits.items():
            for document in _documents(self.derivation, split, selection, writer.next_row(split)):
                writer.add(split, document)
                if not writer.open[split]:
                    step = f"{self.derivation.operation} {split}"
                    report(Progress(step, writer.tokens[split], selection.tokens))
        for entry in self.derivation.all_inputs:
            refuse_damage(entry.corpus)
        writer.finish()
        return True

    def finish(self, report: Reporter) -> bool:
        return describe(self.folder, report=report)

    def holds(self) -> str:
        return f"{self.folder} already holds these {self.manifest.tokens():,} tokens"

    def wrote(self) -> str:
        manifest = self.manifest
        note = f"{self.folder} holds {manifest.tokens():,} training tokens in {manifest.rows():,} documents and"
        note += f" {manifest.tokens('test'):,} held-out tokens. {self.choice.note}"
        return note + said_of_unfinished(self.derivation.inputs)


def _documents(derivation: Derivation, split: str, selection: Selection, start: int) -> Iterator[Document]:
    """The documents of a split from row `start` on, as they are stored."""
    inputs, rows, lengths = selection.inputs[start:], selection.rows[start:], selection.lengths[start:]
    streams = [
        _chosen(entry.corpus, split, rows[inputs == place], lengths[inputs == place])
        for place, entry in enumerate(derivation.inputs)
    ]
    for number, place in enumerate(inputs.tolist(), start):
        document, name = next(streams[place]), derivation.inputs[place].name
        if derivation.change:
            document = derivation.change(split, document)
        yield replace(document, index=number, doc_id=f"{name}/{split}/{document.index}", source=document.source or name)


def _chosen(corpus: Corpus, split: str, rows: np.ndarray, lengths: np.ndarray) -> Iterator[Document]:
    """Documents `rows` (ascending) of a corpus, cut to `lengths`; the index is the one they have there."""
    first = done = 0
    for batch in corpus.batches(split, COLUMNS):
        stop = int(np.searchsorted(rows, first + batch.num_rows))
        picked = batch.take(pa.array(rows[done:stop] - first))
        tokens, offsets = flat_tokens(picked)
        log_p, log_q = _floats(picked.column("logprob_p")), _floats(picked.column("logprob_q"))
        seeds, sources = picked.column("seed").to_pylist(), picked.column("source").to_pylist()
        reasons = picked.column("finish_reason").to_pylist()
        for place, row in enumerate(range(done, stop)):
            begin, end = int(offsets[place]), int(offsets[place + 1])
            length = min(int(lengths[row]), end - begin)
            yield Document(
                index=int(rows[row]),
                seed=seeds[place],
                token_ids=tokens[begin : begin + length].tolist(),
                finish_reason=reasons[place] if length == end - begin else "length",
                logprob_p=log_p(place, length),
                logprob_q=log_q(place, length),
                source=sources[place],
            )
        first, done = first + batch.num_rows, stop
        if done == len(rows):
            return


def _floats(column: pa.ListArray) -> Callable[[int, int], list[float] | None]:
    """Reads the first values of a row of a list column, None where it is null."""
    offsets = column.offsets.to_numpy()
    values = column.values.to_numpy(zero_copy_only=False)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return lambda place, count: values[offsets[place] : offsets[place] + count].tolist() if valid[place] else None


def _open(derivation: Derivation) -> Manifest:
    """The manifest of the new corpus, or the one there when it is the same corpus."""
    out, first = derivation.out, derivation.inputs[0].corpus.manifest
    shard_rows = derivation.shard_rows or SHARD_ROWS
    parts: DerivationPart = {
        "operation": derivation.operation,
        "inputs": [entry.identity() for entry in derivation.inputs],
        **derivation.parameters,
    }
    if derivation.like:
        parts["like"] = derivation.like.identity()
    recorded = existing_corpus(out)
    if recorded is not None:
        _refuse_changed_inputs(derivation, recorded)
        if derivation.shard_rows is None:
            shard_rows = recorded.identity.get("shard_rows", shard_rows)
    model = first.identity["model"].copy()
    model.pop("dtype", None)
    model.pop("load", None)
    identity: Identity = {"model": model, "derivation": parts, "shard_rows": shard_rows}
    provenance: Provenance = {
        "model": first.provenance["model"],
        "inputs": [entry.summary() for entry in derivation.all_inputs],
    }
    return open_corpus(out, "derived", identity, provenance)


def _refuse_inputs_as_output(derivation: Derivation) -> None:
    out = derivation.out.resolve()
    for entry in derivation.all_inputs:
        folder = entry.corpus.folder.resolve()
        if out == folder or folder in out.parents:
            where = "is" if out == folder else "lies inside"
            raise FaithfulError(f"{derivation.out} {where} the input {entry.corpus.folder}; choose another --out.")


def _refuse_larger_vocabulary(derivation: Derivation) -> None:
    """The new corpus has the first input's ids; models of one tokenizer may pad theirs to different numbers."""
    sizes = [entry.corpus.manifest.identity["model"]["vocab_size"] for entry in derivation.inputs]
    if max(sizes) > sizes[0]:
        largest = derivation.inputs[sizes.index(max(sizes))].corpus
        raise FaithfulError(
            f"The model of {largest.folder} has {max(sizes):,} ids and that of the first corpus {sizes[0]:,}; name"
            f" {largest.name} first."
        )


def _refuse_changed_inputs(derivation: Derivation, recorded: Manifest) -> None:
    """Say which inputs differ from those that the corpus there was derived from."""
    old = recorded.identity.get("derivation", {})
    if old.get("operation") != derivation.operation:
        return
    before = [*old["inputs"], *([old["like"]] if old.get("like") else [])]
    now = [entry.identity() for entry in derivation.all_inputs]
    names = [", ".join(entry["name"] for entry in entries) for entries in (now, before)]
    if names[0] != names[1]:
        changes = [difference("inputs", *names)]
    else:
        changes = [f"{new['name']} has changed since" for new, entry in zip(now, before, strict=True) if new != entry]
    refuse_otherwise(derivation.out, changes)
