"""The tokens that training reads: a prefix of a corpus in memory, shuffled by document and cut into contexts.

A prefix is the first documents by index that hold a budget of stored tokens inside their contexts, and only it is
shuffled: growing a corpus changes nothing.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec, check_context
from faithful.models.tokenizer import load_tokenizer
from faithful.store.contexts import LAYOUTS, aligned, packed, packed_starts
from faithful.store.corpus import Corpus, flat_tokens


class Plan(NamedTuple):
    """What a corpus offers to training.

    Attributes:
        usable: stored tokens inside the contexts.
        unusable: stored tokens beyond them.
        rows: contexts.
    """

    usable: int
    unusable: int
    rows: int


@dataclass(frozen=True)
class Pass:
    """One pass over a prefix: its contexts in an order.

    Attributes:
        kept: int64 [rows], positions of each that are no special tokens.
        stored: int64 [rows], stored tokens of each.
    """

    kept: np.ndarray
    stored: np.ndarray
    _bodies: "_Shuffled | np.ndarray"
    _context: int
    _bos_id: int

    def rows(self, first: int, last: int) -> list[np.ndarray]:
        """Contexts [first, last), int64 [≤ context], BOS first."""
        bodies = (self._bodies[place] for place in range(first, last))
        return list(aligned(bodies, self._context, self._bos_id))


class TokenRows:
    """The contexts of a corpus' prefix.

    Token ids are held as uint16 where the vocabulary allows it, else as uint32: 2 or 4 bytes per stored token, twice that
    while they are read and for the layout `packed`, and about 50 bytes per document.

    Args:
        corpus: an opened corpus.
        spec: the model that will read it.
        context: tokens per context, BOS included.
        layout: `aligned` or `packed`.
        split: `train` or `test`.
        tokens: stored tokens wanted inside the contexts; None is all there are.

    Attributes:
        folder: of the corpus.
        count: contexts of the documents in index order. A shuffled pass gives as many; where `packed` skips an end-of-text
            that would follow BOS, some more or fewer.
        usable: stored tokens inside them, in index order.
        ordinary: bool [vocab], False for special ids.
        nbytes: bytes held.

    Raises:
        FaithfulError: a corpus of another tokenizer, an empty split, more tokens than there are, a context that does not
            fit the model, a token id outside its vocabulary.
    """

    def __init__(
        self,
        corpus: Corpus,
        spec: ModelSpec,
        context: int,
        layout: str = "aligned",
        split: str = "train",
        tokens: int | None = None,
    ) -> None:
        check_context(context, spec.name, spec.positions)
        made_for = corpus.manifest.identity["model"]
        if made_for["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {made_for['name']}, whose tokenizer differs from {spec.name}'s;"
                f" use {made_for['name']}, or add the corpus again for {spec.name}."
            )
        if not corpus.tokens(split):
            raise FaithfulError(f"{corpus.folder} holds no {split} tokens; complete it with the command that made it.")
        self.folder, self.spec, self.context, self.layout = corpus.folder, spec, context, layout
        self.ordinary = np.ones(spec.vocab_size, dtype=bool)
        self.ordinary[sorted(special_ids(spec))] = False
        within = _measure(corpus, layout, split, spec.bos_id, spec.eos_ids).within(context, layout)
        if tokens is not None and tokens > within[-1]:
            raise FaithfulError(
                f"{corpus.folder} holds {within[-1]:,} {split} tokens inside contexts of {context}, and {tokens:,} are"
                f" asked for: that is {tokens / max(within[-1], 1):,.2f} epochs; say so, or make the corpus larger."
            )
        documents = len(within) if tokens is None else int(np.searchsorted(within, tokens)) + 1
        self._load(corpus, split, documents)
        self.usable = int(within[documents - 1])
        self.count = self._joined(np.arange(documents)).contexts(context, layout)

    def ordered(self, data_seed: int | None, epoch: int = 0) -> Pass:
        """One pass: documents shuffled by (data_seed, epoch), or in index order where the seed is None."""
        order = np.arange(len(self._lengths))
        if data_seed is not None:
            order = np.random.default_rng([data_seed, epoch]).permutation(order)
        if self.layout == "aligned":
            bodies = _Shuffled(self._tokens, self._offsets, order)
            return Pass(self._kept[order], self._lengths[order], bodies, self.context, self.spec.bos_id)
        return self._pack(order)

    @cached_property
    def sha256(self) -> str:
        """Hash of the token ids and document lengths of the prefix, as far as contexts reach, and of how they are cut."""
        digest = hashlib.sha256(self._lengths.astype("<u8").tobytes())
        if self.layout == "packed" and self.spec.bos_id in self.spec.eos_ids:
            digest.update(b"no row begins with BOS twice")
        for first in range(0, len(self._tokens), 1 << 20):
            digest.update(self._tokens[first : first + (1 << 20)].astype("<u4").tobytes())
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, those of a pass included."""
        passes = self._tokens.nbytes if self.layout == "packed" else 0
        return self._tokens.nbytes + passes + self._offsets.nbytes + self._lengths.nbytes + self._kept.nbytes

    def _load(self, corpus: Corpus, split: str, documents: int) -> None:
        width = self.context - 1 if self.layout == "aligned" else None
        dtype = np.uint16 if self.spec.vocab_size <= 1 << 16 else np.uint32
        tokens, lengths, kept, last = [], [], [], []
        for batch in corpus.batches(split, ["token_ids"]):
            ids, offsets = flat_tokens(batch)
            offsets = offsets[: documents + 1]
            ids = ids[: offsets[-1]]
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.spec.vocab_size:
                raise FaithfulError(
                    f"{corpus.folder} holds token id {ids.max()}, and {self.spec.name} has {self.spec.vocab_size:,};"
                    " add the corpus again for this model."
                )
            last.append(_last_tokens(ids, offsets))
            if width is not None:
                ids, offsets = _cut(ids, offsets, width)
            total = np.concatenate([[0], np.cumsum(self.ordinary[ids])])
            tokens.append(ids.astype(dtype))
            lengths.append(np.diff(offsets))
            kept.append(total[offsets[1:]] - total[offsets[:-1]])
            documents -= len(offsets) - 1
            if not documents:
                break
        self._tokens = np.concatenate(tokens)
        self._lengths, self._kept = np.concatenate(lengths), np.concatenate(kept)
        self._offsets = np.concatenate([[0], np.cumsum(self._lengths)])
        self._open = _open_ends(np.concatenate(last), self.spec.eos_ids)
        closes = self.layout == "packed" and self.spec.bos_id in self.spec.eos_ids
        self._bos_places = np.flatnonzero(self._tokens == self.spec.bos_id) if closes else np.empty(0, np.int64)

    def _joined(self, order: np.ndarray) -> "_Joined":
        """The documents in an order, as `packed` joins them."""
        lengths = self._lengths[order]
        owner = np.searchsorted(self._offsets, self._bos_places, side="right") - 1
        moved = np.empty(len(order), np.int64)
        moved[order] = np.cumsum(lengths) - lengths
        bos = np.sort(self._bos_places - self._offsets[owner] + moved[owner])
        return _Joined(lengths, self._open[order], bos, _separator(self.spec.bos_id, self.spec.eos_ids))

    def _pack(self, order: np.ndarray) -> Pass:
        """Windows of the documents in an order, written out."""
        width = self.context - 1
        joined = self._joined(order)
        stored = joined.stored(width)
        windows = np.empty((len(stored), width), dtype=self._tokens.dtype)
        kept = np.empty(len(stored), dtype=np.int64)
        shuffled = _Shuffled(self._tokens, self._offsets, order)
        documents = (shuffled[place] for place in range(len(order)))
        for place, row in enumerate(packed(documents, self.context, self.spec.bos_id, self.spec.eos_ids)):
            windows[place] = row[1:]
            kept[place] = self.ordinary[row[1:]].sum()
        return Pass(kept, stored, windows, self.context, self.spec.bos_id)


class _Joined(NamedTuple):
    """Documents in an order, and what decides how `packed` cuts them.

    Attributes:
        lengths: int64 [documents].
        open: bool [documents], whether an end-of-text is put behind it.
        bos: int64 [n], places of the stored tokens that no row may begin with, before anything is put between documents.
        skips: whether no row may begin with what is put between documents either.
    """

    lengths: np.ndarray
    open: np.ndarray
    bos: np.ndarray
    skips: bool

    def within(self, context: int, layout: str) -> np.ndarray:
        """Stored tokens inside the contexts of the first n documents, int64 [documents]."""
        width = context - 1
        if layout == "aligned":
            return np.cumsum(np.minimum(self.lengths, width))
        full = np.searchsorted(self._windows(width) + width, np.cumsum(self.lengths + self.open), side="right")
        return np.concatenate([[0], np.cumsum(self.stored(width))])[full]

    def contexts(self, context: int, layout: str) -> int:
        """Number of contexts."""
        return len(self.lengths) if layout == "aligned" else len(self._windows(context - 1))

    def stored(self, width: int) -> np.ndarray:
        """Stored tokens of each window, int64 [windows]."""
        windows, joints = self._windows(width), self._joints()
        return width - np.searchsorted(joints, windows + width) + np.searchsorted(joints, windows)

    def _joints(self) -> np.ndarray:
        """Positions of the end-of-text put between documents, in the stream of all."""
        return (np.cumsum(self.lengths + self.open) - 1)[self.open]

    def _windows(self, width: int) -> np.ndarray:
        """Where the windows begin in the stream of all, int64 [windows]."""
        ends = np.cumsum(self.lengths)
        before = np.concatenate([[0], np.cumsum(self.open)])
        bos = self.bos + before[np.searchsorted(ends, self.bos, side="right")]
        skipped = np.sort(np.concatenate([bos, self._joints()])) if self.skips else bos
        return packed_starts(int(self.lengths.sum() + self.open.sum()), width, skipped)


class _Shuffled:
    """Documents of a flat array in an order."""

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, order: np.ndarray) -> None:
        self.tokens, self.offsets, self.order = tokens, offsets, order

    def __getitem__(self, place: int) -> np.ndarray:
        document = self.order[place]
        return self.tokens[self.offsets[document] : self.offsets[document + 1]]


def plan_tokens(corpus: Corpus, context: int, layout: str, split: str = "train", spec: ModelSpec | None = None) -> Plan:
    """What a split offers to training, its documents in index order.

    Args:
        corpus: opened.
        context, layout, split: as in `TokenRows`.
        spec: who reads it, by default the model that the corpus is of; in `packed` its BOS decides where contexts begin.

    Raises:
        FaithfulError: an unknown layout, or a damaged shard.
    """
    model = corpus.manifest.identity["model"]
    bos_id, eos_ids = (spec.bos_id, spec.eos_ids) if spec else (model["bos_id"], model["eos_ids"])
    joined = _measure(corpus, layout, split, bos_id, eos_ids)
    within = joined.within(context, layout)
    usable = int(within[-1]) if len(within) else 0
    return Plan(usable, int(joined.lengths.sum()) - usable, joined.contexts(context, layout))


def check_layout(layout: str) -> None:
    """Refuse a layout that there is not.

    Raises:
        FaithfulError: it is none.
    """
    if layout not in LAYOUTS:
        raise FaithfulError(f"'{layout}' is not a layout; choose {' or '.join(LAYOUTS)}.")


def special_ids(spec: ModelSpec) -> frozenset[int]:
    """Ids that stand for no text: BOS, every end-of-text, and what the tokenizer marks as special."""
    tokenizer = load_tokenizer(spec.files, spec.hub_revision())
    marked = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = {spec.bos_id, *spec.eos_ids, *tokenizer.all_special_ids, *marked}
    return frozenset(i for i in ids if i < spec.vocab_size)


def _measure(corpus: Corpus, layout: str, split: str, bos_id: int, eos_ids: Sequence[int]) -> _Joined:
    """A split's documents in index order, as `packed` joins them."""
    check_layout(layout)
    lengths, last, bos, first = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    if layout == "aligned":
        lengths += [
            batch.column("n_tokens").to_numpy().astype(np.int64) for batch in corpus.batches(split, ["n_tokens"])
        ]
        return _Joined(joined := np.concatenate(lengths), np.zeros(len(joined), dtype=bool), bos[0], False)
    for batch in corpus.batches(split, ["token_ids"]):
        ids, offsets = flat_tokens(batch)
        lengths.append(np.diff(offsets))
        last.append(_last_tokens(ids, offsets))
        if bos_id in eos_ids:
            bos.append(first + np.flatnonzero(ids == bos_id))
        first += len(ids)
    ends = _open_ends(np.concatenate(last), eos_ids)
    return _Joined(np.concatenate(lengths), ends, np.concatenate(bos), _separator(bos_id, eos_ids))


def _separator(bos_id: int, eos_ids: Iterable[int]) -> bool:
    """Whether documents are joined by BOS itself."""
    return min(eos_ids, default=None) == bos_id


def _last_tokens(ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Last token of each document, −1 where it is empty."""
    last = np.full(len(offsets) - 1, -1)
    some = np.diff(offsets) > 0
    last[some] = ids[offsets[1:][some] - 1]
    return last


def _open_ends(last: np.ndarray, eos_ids: Iterable[int]) -> np.ndarray:
    """Which documents get an end-of-text when they are joined: those without one, if the model has any."""
    stops = list(eos_ids)
    return ~np.isin(last, stops) if stops else np.zeros(len(last), dtype=bool)


def _cut(ids: np.ndarray, offsets: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `width` tokens of each document, joined, and their offsets."""
    lengths = np.diff(offsets)
    inside = np.arange(len(ids)) - np.repeat(offsets[:-1], lengths) < width
    return ids[inside], np.concatenate([[0], np.cumsum(np.minimum(lengths, width))])
