"""What a worker has in hand: samples it has drawn, by shard, and the shards it makes of them beside the engine."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document
from faithful.store.shard_files import EncodedShard
from generation.sampling.engine import Sample
from generation.writing.shards import encode_documents

if TYPE_CHECKING:
    from faithful.models.spec import ModelSpec

Place = tuple[str, int]
"""A split, and a shard of it."""


class Hand:
    """Samples and shards of one worker.

    Args:
        spec: the model, whose tokenizer gives the texts.
    """

    def __init__(self, spec: "ModelSpec") -> None:
        self.spec = spec
        self.samples: dict[Place, dict[int, Sample]] = {}
        self.numbers: dict[Place, int] = {}
        self.making: deque[tuple[Place, Future[EncodedShard]]] = deque()
        self.thread = ThreadPoolExecutor(1, "shards")

    @cached_property
    def tokenizer(self) -> Any:
        """The model's."""
        return load_tokenizer(self.spec.files, self.spec.hub_revision())

    def begin(self, place: Place, number: int, kept: Sequence[Sample]) -> None:
        """Begin a shard, the corpus' `number`-th, with samples that are there."""
        self.numbers[place] = number
        self.samples[place] = {sample.index: sample for sample in kept}

    def take(self, place: Place, sample: Sample) -> None:
        """Keep a sample; one of a shard that is made or dropped is forgotten."""
        if place in self.samples:
            self.samples[place][sample.index] = sample

    def make(self, place: Place, rows: int) -> None:
        """Begin to make a shard of its first rows."""
        drawn = self.samples.pop(place)
        first = [drawn[index] for index in sorted(drawn)[:rows]]
        self.making.append((place, self.thread.submit(self._encode, place[0], self.numbers.pop(place), first)))

    def drop(self) -> None:
        """Forget all samples but those that are being made a shard of."""
        self.samples.clear()

    def made(self, *, wait: bool) -> Iterator[tuple[Place, EncodedShard]]:
        """Shards that have become ready, in the order asked; all that were asked for with `wait`."""
        while self.making and (wait or self.making[0][1].done()):
            place, shard = self.making.popleft()
            yield place, shard.result()

    def _encode(self, split: str, number: int, samples: list[Sample]) -> EncodedShard:
        documents = [
            Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p or None, s.logprob_q) for s in samples
        ]
        return encode_documents(split, number, documents, self.spec, self.tokenizer)
