"""The activation stream: a corpus' tokens, through a truncated model, mixed, in batches for an SAE.

No activation is ever written to a file. Which activation is in which batch depends on the data seed, the corpus' prefix,
the context, the batch and the buffer alone: not on how many contexts share a forward pass, nor on who reads the stream.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from faithful.activations.mixing import BufferState, MixingBuffer
from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.padding import length_buckets, pad
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from faithful.store.token_rows import Pass, TokenRows

OUTLIER = 10.0
FORWARD_TOKENS = {"cpu": 4096, "cuda": 32768}
CHUNK = 4096


@dataclass(frozen=True)
class StreamConfig:
    """What to stream.

    Attributes:
        hook: where activations are taken.
        context: tokens per context, BOS included.
        layout: `aligned` or `packed`.
        data_seed: of the order of documents and of mixing; nothing else is random.
        tokens: stored tokens of the contexts consumed, all epochs together; None is all the split has.
        epochs: passes that `tokens` makes, over the prefix that holds tokens/epochs; below 1 it is one pass over the prefix
            that holds `tokens`.
        batch: activations per SAE step.
        buffer: activations kept for mixing, at least two batches and two contexts.
        rows_per_forward: contexts per forward pass; None is about 4,096 tokens on a CPU, 32,768 on a GPU. Decides rounding
            and memory, not the order.
        drop_outliers: leave out activations with more than ten times the median norm; they are counted either way.
    """

    hook: Hook
    context: int
    layout: str = "aligned"
    data_seed: int = 0
    tokens: int | None = None
    epochs: float = 1.0
    batch: int = 4096
    buffer: int = 131_072
    rows_per_forward: int | None = None
    drop_outliers: bool = False

    @property
    def prefix_tokens(self) -> int | None:
        """Stored tokens of the prefix that every pass is over; None is all the split has."""
        return None if self.tokens is None else tokens_of_a_pass(self.tokens, self.epochs)


def tokens_of_a_pass(tokens: int, epochs: float) -> int:
    """Stored tokens of the prefix that every pass is over, of those of all passes: one over all of them below 1 pass."""
    return math.ceil(round(tokens / max(1.0, epochs), 6))  # a division that comes out even is not to be rounded up


@dataclass
class Counts:
    """What went through a stream so far.

    Attributes:
        tokens: stored tokens of the contexts read.
        rows: contexts read.
        special: special tokens in them, BOS included: left out.
        outliers: activations with more than ten times the median norm of those read together; left out on request.
        activations: handed out.
        left_over: at the end, too few for a batch: not handed out.
        positions: int64 [context], activations by position in their context.
    """

    positions: np.ndarray
    tokens: int = 0
    rows: int = 0
    special: int = 0
    outliers: int = 0
    activations: int = 0
    left_over: int = 0


class Moments(NamedTuple):
    """What an SAE is set up with, from the first filling of the buffer.

    Attributes:
        mean: float32 [d_in].
        scale: the factor that gives activations a norm of 1 in the root mean square.
    """

    mean: Tensor
    scale: float


class StreamState(TypedDict):
    """Everything that decides what comes next of a stream, tensors on the CPU.

    `of` is what the stream is of, `counts` its `Counts` with the positions as a tensor, `moments` mean and scale.
    """

    of: Mapping[str, object]
    counts: dict[str, Any]
    buffer: BufferState | None
    moments: tuple[Tensor, float] | None


class ActivationStream:
    """Batches of activations at a hook.

    The buffer is filled, and filled again whenever half of it is handed out; at the end it is drained. Activations that
    are too few for a last batch are counted and not handed out.

    Args:
        model: the causal LM on its device.
        rows: what it reads, see `stream_rows`.
        config: what to stream.

    Attributes:
        steps: batches that will come; with `drop_outliers` some fewer may.
        d_in: width of an activation.
        hook_path: module and side of the hook, for provenance.
        counts: what went through so far.

    Raises:
        FaithfulError: what `TruncatedModel` refuses, a buffer that is too small, less than one batch; while streaming,
            activations that are not finite.
    """

    def __init__(self, model: Any, rows: TokenRows, config: StreamConfig) -> None:
        self.spec, self.config = rows.spec, config
        _check(config)
        self._model = TruncatedModel(model, config.hook)
        self.d_in, self.hook_path = self._model.d_in, self._model.path
        self._rows = rows
        self._pass: tuple[int, Pass] | None = None
        activations = self._lay_out(max(1.0, config.epochs))
        self.steps = activations // config.batch
        if not self.steps:
            raise FaithfulError(
                f"{rows.folder} gives {activations:,} activations, less than one batch of {config.batch:,}; use a smaller"
                " batch or more tokens."
            )
        self.counts = Counts(np.zeros(config.context, dtype=np.int64))
        self._size = min(config.buffer, activations)
        self._buffer: MixingBuffer | None = None
        self._moments: Moments | None = None
        per_forward = FORWARD_TOKENS.get(self._model.device.type, FORWARD_TOKENS["cpu"]) // config.context
        self._per_forward = config.rows_per_forward or max(1, per_forward)

    def __iter__(self) -> Iterator[Tensor]:
        """The batches still to come, float32 [batch, d_in] on the model's device."""
        while (batch := self._next()) is not None:
            yield batch

    def moments(self) -> Moments:
        """Mean and scale of the first filling, which is made if it was not; nothing is handed out."""
        while self._moments is None:
            self._refill()
        return self._moments

    def state(self) -> StreamState:
        """Everything that decides what comes next, tensors on the CPU; what waits in the buffer is copied."""
        return {
            "of": self._identity(),
            "counts": asdict(self.counts) | {"positions": torch.from_numpy(self.counts.positions.copy())},
            "buffer": None if self._buffer is None else self._buffer.state(),
            "moments": None if self._moments is None else (self._moments.mean.cpu(), self._moments.scale),
        }

    def load_state(self, state: StreamState) -> None:
        """Go on from a state, bit for bit as the stream it was taken from.

        Raises:
            FaithfulError: it is the state of another stream.
        """
        if state["of"] != self._identity():
            raise FaithfulError("The checkpoint is of another corpus or other settings; delete it to start over.")
        self.counts = Counts(**state["counts"] | {"positions": state["counts"]["positions"].numpy().copy()})
        self._buffer = self._moments = None
        if state["moments"] is not None:
            mean, scale = state["moments"]
            self._moments = Moments(mean.to(self._model.device), scale)
        if state["buffer"] is not None:
            self._buffer = self._new_buffer()
            self._buffer.load_state(state["buffer"])

    def _next(self) -> Tensor | None:
        while self._buffer is None or (self.counts.rows < self._total and self._buffer.live <= self._size // 2):
            self._refill()
        if self._buffer.live < self.config.batch:
            self.counts.left_over = self._buffer.live
            return None
        self.counts.activations += self.config.batch
        return self._buffer.take(self.config.batch)

    def _refill(self) -> None:
        """Read the next contexts that fit into the buffer, and mix what they give with what waits there."""
        if self._buffer is None:
            self._buffer = self._new_buffer()
        rows, kept, stored = self._take_rows(self._size - self._buffer.live)
        offsets = np.concatenate([[0], np.cumsum(kept)])
        slots = self._buffer.free_slots(int(offsets[-1]))
        norms = torch.zeros(len(slots), device=self._model.device)
        for places, activations in kept_activations(self._model, rows, self._rows.ordinary, self._per_forward):
            at = torch.from_numpy(np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in places]))
            self._buffer.write(slots[at], activations)
            norms[at.to(norms.device)] = activations.float().norm(dim=1)
        if not bool(norms.isfinite().all()):
            raise FaithfulError(
                f"Activations of {self.spec.name} at {self.config.hook.name} are not finite; run it in float32, or check"
                " its weights."
            )
        outliers = (norms > OUTLIER * norms.median()).cpu() if len(norms) else torch.zeros(0, dtype=torch.bool)
        self._count(rows, stored, int(outliers.sum()))
        slots = slots[~outliers] if self.config.drop_outliers else slots
        if self._moments is None and len(slots):
            self._moments = self._measure(self._buffer, slots)
        self._buffer.admit(slots)

    def _take_rows(self, room: int) -> tuple[list[np.ndarray], np.ndarray, int]:
        """The next contexts whose activations fit: rows, activations of each, and their stored tokens in all."""
        rows: list[np.ndarray] = []
        kept: list[np.ndarray] = []
        stored, at = 0, self.counts.rows
        while at < self._total:
            epoch = bisect_right(self._starts, at) - 1
            first = at - self._starts[epoch]
            order = self._in_order(epoch)
            last = min(len(order.kept), first + self._total - at)
            near = np.cumsum(order.kept[first : min(last, first + room + 1)])
            fitting = int(np.searchsorted(near, room, side="right"))
            rows += order.rows(first, first + fitting)
            kept.append(order.kept[first : first + fitting])
            stored += int(order.stored[first : first + fitting].sum())
            room -= int(kept[-1].sum())
            at += fitting
            if first + fitting < last:
                break
        return rows, np.concatenate(kept), stored

    def _count(self, rows: Sequence[np.ndarray], stored: int, outliers: int) -> None:
        for row in rows:
            ordinary = self._rows.ordinary[row]
            self.counts.positions[: len(row)] += ordinary
            self.counts.special += len(row) - int(ordinary.sum())
        self.counts.rows += len(rows)
        self.counts.tokens += stored
        self.counts.outliers += outliers

    def _measure(self, buffer: MixingBuffer, slots: Tensor) -> Moments:
        total = torch.zeros(self.d_in, dtype=torch.float64, device=self._model.device)
        squares = torch.zeros_like(total)
        for piece in slots.split(CHUNK):
            x = buffer.read(piece).double()
            total += x.sum(0)
            squares += x.square().sum(0)
        mean_square = float(squares.sum()) / len(slots)
        if not mean_square:
            raise FaithfulError(
                f"Activations of {self.spec.name} at {self.config.hook.name} are all 0; use another hook, or check its"
                " weights."
            )
        return Moments((total / len(slots)).float(), mean_square**-0.5)

    def _in_order(self, epoch: int) -> Pass:
        if self._pass is None or self._pass[0] != epoch:
            self._pass = epoch, self._rows.ordered(self.config.data_seed, epoch)
        return self._pass[1]

    def _lay_out(self, passes: float) -> int:
        """Find the row that each pass begins with and how many rows will be read; how many activations they give."""
        count, found = self._rows.count, 0
        self._starts = [0]
        self._total = max(1, round(count * passes)) if count else 0
        while self._starts[-1] < self._total and len(self._starts) <= np.ceil(passes):
            kept = self._in_order(len(self._starts) - 1).kept
            if len(self._starts) <= passes:
                self._total += len(kept) - count
            found += int(kept[: self._total - self._starts[-1]].sum())
            self._starts.append(self._starts[-1] + len(kept))
        self._total = min(self._total, self._starts[-1])
        return found

    def _new_buffer(self) -> MixingBuffer:
        return MixingBuffer(self._size, self.d_in, self._model.dtype, self._model.device, self.config.data_seed)

    def _identity(self) -> Mapping[str, object]:
        return asdict(self.config) | {
            "hook_path": self.hook_path,
            "prefix": self._rows.sha256,
            "model": self.spec.revision,
            "dtype": str(self._model.dtype),
            "rows_per_forward": self._per_forward,
        }


def stream_rows(corpus: Path, spec: ModelSpec, split: str, config: StreamConfig) -> TokenRows:
    """The contexts that a stream reads, in memory: each pass is over the prefix that holds its share of the tokens.

    Raises:
        FaithfulError: see `TokenRows`.
    """
    return TokenRows(Corpus(corpus), spec, config.context, config.layout, split, config.prefix_tokens)


def kept_activations(
    model: TruncatedModel, rows: Sequence[np.ndarray], ordinary: np.ndarray, rows_per_forward: int
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Activations of contexts, special tokens left out; contexts of like length share a forward pass.

    Args:
        model: the truncated model.
        rows: int64 [≤ context] each, BOS first.
        ordinary: bool [vocab], False for special ids.
        rows_per_forward: contexts per forward pass.

    Yields:
        places in `rows` of those read together, int64, and their activations, context after context, [n, d_in] in the
        model's dtype.
    """
    for places in length_buckets(rows, rows_per_forward):
        ids, real = pad([rows[place] for place in places])
        kept = np.flatnonzero(ordinary[ids] & real)
        if len(kept):
            hidden = model.native(torch.from_numpy(ids).to(model.device)).flatten(0, 1)
            yield places, hidden.index_select(0, torch.from_numpy(kept).to(model.device))


def _check(config: StreamConfig) -> None:
    least = 2 * max(config.batch, config.context)
    if config.batch < 1:
        raise FaithfulError("A batch holds at least one activation; give a larger batch.")
    if config.buffer < least:
        raise FaithfulError(
            f"A mixing buffer of {config.buffer:,} activations is too small for batches of {config.batch:,} and contexts of"
            f" {config.context:,}; give it at least {least:,}."
        )
    if config.data_seed < 0 or config.epochs <= 0:
        raise FaithfulError("The data seed is at least 0 and the epochs are above 0.")
    if config.tokens is not None and config.tokens < 1:
        raise FaithfulError("A budget holds at least one token; give more tokens.")
