"""The transformers engine: batched decoding, each token drawn by inverse CDF from the sample's own uniforms.

Three schedules. `rolling`: where a model's cache is keys and values, finished rows are refilled at once. `even`: where it
is more than that (state-space and hybrid models, indexed or compressed keys), or where positions cannot be told, rows that
begin together are decoded to the end of the last, with the model's own cache and nothing hidden from it. `whole`: where
that cache does not work, every token is fed again at every step. Which rows share a batch at which step follows from the
requests alone, so equal request streams give equal bytes on a CPU.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling, draw, log_q
from generation.sampling.engine import Request, Sample, unheard
from generation.sampling.rolling_cache import RollingCache
from generation.sampling.seeds import uniforms

CACHES = ("past_key_values", "cache_params")
POSITIONS_FROM_MASK = ("bloom", "mpt")


class TransformersEngine:
    """Samples from a Hugging Face causal LM.

    Args:
        model: the causal LM, on its device.
        spec: the resolved model.
        sampling: the declared sampling.
        slots: rows decoded together.
        schedule: one of `schedules(model)`, by default the first.
    """

    def __init__(
        self, model: Any, spec: ModelSpec, sampling: Sampling, slots: int, schedule: str | None = None
    ) -> None:
        self.model, self.spec, self.sampling, self.slots = model, spec, sampling, slots
        self.device = next(model.parameters()).device
        self.schedule = schedule or schedules(model)[0]
        self.stop_ids = frozenset(spec.eos_ids) if sampling.mode == "documents" else frozenset()
        self.told: Callable[[int], None] = unheard

    def run(self, requests: Iterator[Request]) -> Iterator[Sample]:
        """Yield samples as they finish; see `generation.sampling.engine.Engine`.

        Raises:
            FaithfulError: the model gives NaN or infinite log-probabilities.
        """
        return self._rolling(requests) if self.schedule == "rolling" else self._even(requests)

    @torch.inference_mode()
    def _rolling(self, requests: Iterator[Request]) -> Iterator[Sample]:
        batch = _RollingBatch(self)
        more = True
        while True:
            if more:
                more = batch.fill(requests)
            if not batch.alive:
                return
            if not more and len(batch.alive) <= len(batch.rows) // 2:
                batch.compact()
            yield from batch.step()

    @torch.inference_mode()
    def _even(self, requests: Iterator[Request]) -> Iterator[Sample]:
        more = True
        while more:
            batch = (_WholeBatch if self.schedule == "whole" else _EvenBatch)(self)
            more = batch.fill(requests)
            while batch.alive:
                if len(batch.alive) <= len(batch.rows) // 2 and batch.can_compact:
                    batch.compact()
                yield from batch.step()


class _Batch(ABC):
    """The rows in flight and their tensors; column `now` of the shared time axis is decoded next.

    Subclasses hold the cache.
    """

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine, self.device = engine, engine.device
        slots, longest, vocab = engine.slots, engine.sampling.max_tokens, engine.spec.vocab_size
        self.rows: list[Request | None] = [None] * slots
        self.start = [0] * slots
        self.now = 0
        self.inputs = torch.full((slots, 1), engine.spec.bos_id, device=self.device)
        self.starts = torch.zeros(slots, dtype=torch.int64, device=self.device)
        self.tokens = torch.zeros(slots, longest, dtype=torch.int64, device=self.device)
        self.log_p = torch.zeros(slots, longest, device=self.device)
        self.log_q = None if engine.sampling.is_model else torch.zeros_like(self.log_p)
        self.uniforms = torch.zeros(slots, longest, dtype=torch.float64, device=self.device)
        penalised = engine.sampling.repetition_penalty != 1
        self.seen = torch.zeros(slots, vocab, dtype=torch.bool, device=self.device) if penalised else None

    @property
    def alive(self) -> list[int]:
        """Slots that hold a sample."""
        return [slot for slot, row in enumerate(self.rows) if row is not None]

    def fill(self, requests: Iterator[Request]) -> bool:
        """Put the next requests into free slots, in slot order; False when there are no more."""
        free = [slot for slot, row in enumerate(self.rows) if row is None]
        taken = []
        for slot in free:
            request = next(requests, None)
            if request is None:
                break
            self.rows[slot], self.start[slot] = request, self.now
            taken.append(slot)
        if taken:
            index = torch.tensor(taken, device=self.device)
            seeds = np.array([self.rows[slot].seed for slot in taken])  # type: ignore[union-attr]
            drawn = uniforms(seeds, self.engine.sampling.max_tokens)
            self.uniforms[index] = torch.from_numpy(drawn).to(self.device)
            self.inputs[index] = self.engine.spec.bos_id
            self.starts[index] = self.now
            if self.seen is not None:
                self.seen[index] = False
                self.seen[index, self.engine.spec.bos_id] = True
        return len(taken) == len(free)

    def compact(self) -> None:
        """Drop the empty rows from every tensor."""
        alive = self.alive
        index = torch.tensor(alive, device=self.device)
        self.rows, self.start = [self.rows[slot] for slot in alive], [self.start[slot] for slot in alive]
        for name in ("inputs", "starts", "tokens", "log_p", "log_q", "uniforms", "seen"):
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(self, name, tensor[index])
        self.keep_rows(index)

    @property
    def can_compact(self) -> bool:
        """Whether the cache can lose rows."""
        return True

    @abstractmethod
    def keep_rows(self, rows: Tensor) -> None:
        """Keep the given rows of the cache only."""

    @abstractmethod
    def logits(self, ages: Tensor) -> Tensor:
        """Feed `inputs`, the rows' tokens at their own positions `ages`: logits of what follows, [rows, vocab]."""

    def step(self) -> Iterator[Sample]:
        """Decode one column for every row and yield the samples that it finishes."""
        sampling, spec = self.engine.sampling, self.engine.spec
        ages = (self.now - self.starts).clamp_(max=sampling.max_tokens - 1)
        logits = self.logits(ages)
        log_probs = log_q(logits, sampling, self.seen, spec.mapped, spec.holes)
        at = ages[:, None]
        chosen = draw(log_probs, self.uniforms.gather(1, at).squeeze(1))[:, None]
        drawn_q = log_probs.gather(1, chosen)
        self.tokens.scatter_(1, at, chosen)
        if self.log_q is None:
            self.log_p.scatter_(1, at, drawn_q)
        else:
            self.log_q.scatter_(1, at, drawn_q)
            raw = logits.float()
            self.log_p.scatter_(1, at, raw.gather(1, chosen) - raw.logsumexp(-1, keepdim=True))
        self.inputs = chosen
        if self.seen is not None:
            self.seen.scatter_(1, chosen, True)
        drawn = chosen.squeeze(1).tolist()
        for slot in self.alive:
            length = self.now - self.start[slot] + 1
            stopped = drawn[slot] in self.engine.stop_ids
            if stopped or length == sampling.max_tokens:
                yield self._finish(slot, length, "stop" if stopped else "length")
        self.now += 1
        self.engine.told(sum(self.now - self.start[slot] for slot in self.alive))

    def _finish(self, slot: int, length: int, reason: str) -> Sample:
        row = self.rows[slot]
        assert row is not None
        self.rows[slot] = None
        log_p: Tensor = self.log_p[slot, :length]
        if not bool(torch.isfinite(log_p).all()):
            raise FaithfulError(
                f"{self.engine.spec.name} gives NaN or infinite logits in {self.engine.spec.dtype} (sample {row.index});"
                " try --dtype float32, or check the weights."
            )
        return Sample(
            index=row.index,
            seed=row.seed,
            token_ids=self.tokens[slot, :length].tolist(),
            finish_reason=reason,
            logprob_p=log_p.tolist(),
            logprob_q=None if self.log_q is None else self.log_q[slot, :length].tolist(),
        )


class _RollingBatch(_Batch):
    """Rows of different age with one rolling cache of keys and values: to the model they are padded at the left."""

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__(engine)
        self.oldest = 0
        layers = int(engine.model.config.get_text_config(decoder=True).num_hidden_layers)
        self.cache = RollingCache(layers, engine.sampling.max_tokens + 1)

    def keep_rows(self, rows: Tensor) -> None:
        self.cache.keep_rows(rows)

    def logits(self, ages: Tensor) -> Tensor:
        oldest = min(self.start[slot] for slot in self.alive)
        self.cache.drop(oldest - self.oldest)
        self.oldest = oldest
        columns = torch.arange(oldest, self.now + 1, device=self.device)
        logits: Tensor = self.engine.model(
            input_ids=self.inputs,
            attention_mask=(columns >= self.starts[:, None]) | (columns == self.now),
            position_ids=ages[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return logits[:, -1]


class _WholeBatch(_Batch):
    """Rows of one age without a cache: every token is fed again."""

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__(engine)
        self.fed = self.inputs[:, :0]

    def keep_rows(self, rows: Tensor) -> None:
        self.fed = self.fed[rows]

    def logits(self, ages: Tensor) -> Tensor:
        self.fed = torch.cat([self.fed, self.inputs], 1)
        logits: Tensor = self.engine.model(input_ids=self.fed, use_cache=False).logits
        return logits[:, -1]


class _EvenBatch(_Batch):
    """Rows of one age with the cache that the model makes itself."""

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__(engine)
        self.name = cache_argument(engine.model) or ""
        self.cache: Any = None

    @property
    def can_compact(self) -> bool:
        """Families' own kinds of caches cannot lose rows."""
        if self.cache is None:
            return True
        if type(self.cache) is not DynamicCache:
            return False
        return all(type(layer).__module__ == DynamicCache.__module__ for layer in self.cache.layers)

    def keep_rows(self, rows: Tensor) -> None:
        if self.cache is not None:
            self.cache.reorder_cache(rows)

    def logits(self, ages: Tensor) -> Tensor:
        known = {} if self.cache is None else {self.name: self.cache}
        output = self.engine.model(input_ids=self.inputs, use_cache=True, **known)
        self.cache = getattr(output, self.name)
        return output.logits[:, -1]


def schedules(model: Any) -> tuple[str, ...]:
    """The schedules that may do for a model, fastest first."""
    rolling = ("rolling",) if can_roll(model) else ()
    even = ("even",) if cache_argument(model) else ()
    return (*rolling, *even, "whole")


def can_roll(model: Any) -> bool:
    """Whether rows of different age may share a batch of this model.

    They may where the cache is keys and values alone, by token, and where a row's positions follow from `position_ids` or
    from the mask. Chunked attention (Llama-4) counts columns, not positions.
    """
    config = model.config.get_text_config(decoder=True)
    stated = inspect.signature(model.forward).parameters
    tells = "position_ids" in stated or config.model_type in POSITIONS_FROM_MASK
    counted = hasattr(config, "num_hidden_layers") and not getattr(config, "attention_chunk_size", None)
    if model._is_stateful or "past_key_values" not in stated or not tells or not counted:
        return False
    return {type(layer) for layer in DynamicCache(config=config).layers} <= {DynamicLayer, DynamicSlidingWindowLayer}


def cache_argument(model: Any) -> str | None:
    """The argument by which a model takes back the cache that it gave, None where it has none."""
    stated = inspect.signature(model.forward).parameters
    return next((name for name in CACHES if name in stated), None)
