"""What a worker has in hand: samples it has drawn, by shard, and the shards it makes of them beside the engine."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

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

    Attributes:
        drawn: the corpus' number of each shard that is open, and its samples by their indices.
        making: shards that are being made, in the order asked.
    """

    def __init__(self, spec: "ModelSpec") -> None:
        self.spec = spec
        self.drawn: dict[Place, tuple[int, dict[int, Sample]]] = {}
        self.making: deque[tuple[Place, Future[EncodedShard]]] = deque()
        self.thread = ThreadPoolExecutor(1, "shards")
        self.tokenizer = self.thread.submit(load_tokenizer, spec.files, spec.hub_revision())

    def begin(self, place: Place, number: int, kept: Sequence[Sample]) -> None:
        """Begin a shard, the corpus' `number`-th, with samples that are there."""
        self.drawn[place] = number, {sample.index: sample for sample in kept}

    def take(self, place: Place, sample: Sample) -> None:
        """Keep a sample; one of a shard that is made or dropped is forgotten."""
        if place in self.drawn:
            self.drawn[place][1][sample.index] = sample

    def make(self, place: Place, rows: int) -> None:
        """Begin to make a shard of its first rows."""
        number, samples = self.drawn.pop(place)
        first = [samples[index] for index in sorted(samples)[:rows]]
        self.making.append((place, self.thread.submit(self._encode, place[0], number, first)))

    def drop(self) -> None:
        """Forget all samples but those that are being made a shard of."""
        self.drawn.clear()

    def wait(self, seconds: float) -> None:
        """Wait for the next shard to become ready, at most so long."""
        wait([made for _, made in self.making], seconds, "FIRST_COMPLETED")

    def made(self) -> Iterator[tuple[Place, EncodedShard]]:
        """Shards that have become ready, in the order asked.

        Raises:
            FaithfulError: the model's tokenizer cannot be had here, which is known before the first shard is whole.
        """
        if self.tokenizer.done():
            self.tokenizer.result()
        while self.making and self.making[0][1].done():
            place, shard = self.making.popleft()
            yield place, shard.result()

    def _encode(self, split: str, number: int, samples: list[Sample]) -> EncodedShard:
        documents = [
            Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p or None, s.logprob_q) for s in samples
        ]
        return encode_documents(split, number, documents, self.spec, self.tokenizer.result())
