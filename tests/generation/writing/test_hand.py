"""What a worker has in hand."""

import time
from pathlib import Path

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document
from faithful.store.shard_files import EncodedShard
from generation.sampling.engine import Sample
from generation.writing import hand as hands
from generation.writing.hand import Hand
from generation.writing.shards import write_documents

TRAIN = ("train", 2)


def sample(index: int) -> Sample:
    return Sample(index, 100 + index, [30 + index, 40, 50], "length", [-1.0, -2.0, -0.5], None)


def waited(hand: Hand) -> list[tuple[tuple[str, int], EncodedShard]]:
    """The next shards, once there are any."""
    hand.wait(60)
    return list(hand.made())


def test_a_shard_is_made_of_the_first_rows_in_their_order(tmp_path: Path) -> None:
    spec = resolve_model("tiny")
    hand = Hand(spec)
    hand.begin(TRAIN, 5, [sample(21)])
    for index in (23, 20, 22):
        hand.take(TRAIN, sample(index))
    hand.make(TRAIN, 3)
    ((place, made),) = waited(hand)
    documents = [
        Document(s.index, s.seed, s.token_ids, s.finish_reason, s.logprob_p) for s in map(sample, (20, 21, 22))
    ]
    written = write_documents(tmp_path, "train", 5, documents, spec, load_tokenizer(spec.files, spec.hub_revision()))
    assert place == TRAIN
    assert made.shard == written
    assert made.content == (tmp_path / written.file).read_bytes()
    assert list(hand.made()) == []


def test_what_is_dropped_is_forgotten_and_what_is_being_made_is_not() -> None:
    hand = Hand(resolve_model("tiny"))
    hand.begin(TRAIN, 2, [])
    hand.begin(("test", 0), 0, [])
    hand.take(TRAIN, sample(0))
    hand.take(("test", 0), sample(0))
    hand.make(TRAIN, 1)
    hand.drop()
    hand.take(("test", 0), sample(1))
    hand.take(TRAIN, sample(1))
    assert hand.drawn == {}
    assert [(place, made.shard.rows) for place, made in waited(hand)] == [(TRAIN, 1)]


def test_what_fails_while_a_shard_is_made_is_said_where_shards_are_asked_for() -> None:
    hand = Hand(resolve_model("tiny"))
    hand.begin(TRAIN, 2, [Sample(0, 0, [10**6], "length", [-1.0], None)])
    hand.make(TRAIN, 1)
    with pytest.raises(Exception, match=r"1000000|1,000,000|outside"):
        waited(hand)


def test_a_tokenizer_that_cannot_be_had_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise FaithfulError("No tokenizer here.")

    monkeypatch.setattr(hands, "load_tokenizer", nowhere)
    hand = Hand(resolve_model("tiny"))
    with pytest.raises(FaithfulError, match="No tokenizer here"):
        for _ in range(1000):
            list(hand.made())
            time.sleep(0.01)
