"""The mixing buffer: everything leaves once, in an order that its own seed decides."""

import torch
from torch import Tensor

from faithful.activations.mixing import MixingBuffer


def buffer(size: int = 64, seed: int = 0, dtype: torch.dtype = torch.float32) -> MixingBuffer:
    return MixingBuffer(size, 2, dtype, torch.device("cpu"), seed)


def numbered(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count).float()[:, None].expand(-1, 2)


def fill(mixing: MixingBuffer, first: int, count: int) -> None:
    slots = mixing.free_slots(count)
    mixing.write(slots, numbered(first, count))
    mixing.admit(slots)


def stream(mixing: MixingBuffer, total: int, batch: int, size: int = 64) -> list[Tensor]:
    """Fill when half empty, drain at the end."""
    sent, batches = 0, []
    while True:
        if sent < total and mixing.live <= size // 2:
            count = min(total - sent, size - mixing.live)
            fill(mixing, sent, count)
            sent += count
        taken = mixing.take(batch)
        if not len(taken):
            return batches
        batches.append(taken)


def test_everything_leaves_exactly_once() -> None:
    for total, batch in ((1000, 16), (1000, 7), (64, 32), (5, 3), (129, 32)):
        batches = stream(buffer(), total, batch)
        assert sorted(torch.cat(batches)[:, 0].tolist()) == list(range(total))
        assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)


def test_the_order_is_the_seeds_alone() -> None:
    first = torch.cat(stream(buffer(seed=1), 500, 8))
    torch.manual_seed(99)
    assert torch.equal(first, torch.cat(stream(buffer(seed=1), 500, 8)))
    assert not torch.equal(first, torch.cat(stream(buffer(seed=2), 500, 8)))


def test_the_global_generator_is_not_touched() -> None:
    before = torch.get_rng_state()
    stream(buffer(), 300, 8)
    assert torch.equal(before, torch.get_rng_state())


def test_neighbours_are_torn_apart() -> None:
    size = 512
    order = torch.cat(stream(buffer(size), 8 * size, 16, size))[:, 0]
    batches = order.split(16)
    close = sum(int((batch.sort().values.diff() == 1).sum()) for batch in batches)
    # In a random order of 512 about 16·15/512 pairs of a batch are neighbours.
    assert close / len(batches) < 2 * 16 * 15 / size
    spread = torch.stack([batch.std() for batch in batches]).mean()
    assert spread > 0.2 * size


def test_the_memory_stays_where_it_is() -> None:
    mixing = buffer()
    place = mixing._memory.data_ptr()
    stream(mixing, 1000, 16)
    assert mixing._memory.data_ptr() == place


def test_a_batch_is_not_overwritten_by_the_next_filling() -> None:
    mixing = buffer(8)
    fill(mixing, 0, 8)
    taken = mixing.take(8)
    before = taken.clone()
    fill(mixing, 100, 8)
    assert torch.equal(taken, before)


def test_slots_that_are_not_admitted_stay_free() -> None:
    mixing = buffer(8)
    slots = mixing.free_slots(8)
    mixing.write(slots, numbered(0, 8))
    mixing.admit(slots[::2])
    assert sorted(mixing.take(8)[:, 0].tolist()) == [0, 2, 4, 6]
    assert len(mixing.free_slots(100)) == 8


def test_a_state_goes_on_bit_for_bit() -> None:
    expected = stream(buffer(), 700, 9)
    for stop in (0, 1, 5, 30, 60):
        first = buffer()
        sent, batches = 0, []
        while len(batches) < stop:
            if sent < 700 and first.live <= 32:
                count = min(700 - sent, 64 - first.live)
                fill(first, sent, count)
                sent += count
            batches.append(first.take(9))
        second = buffer(seed=12345)
        second.load_state(first.state())
        while len(batches) < len(expected):
            if sent < 700 and second.live <= 32:
                count = min(700 - sent, 64 - second.live)
                fill(second, sent, count)
                sent += count
            batches.append(second.take(9))
        assert all(torch.equal(a, b) for a, b in zip(batches, expected, strict=True))


def test_asking_for_the_state_changes_nothing() -> None:
    mixing, other = buffer(), buffer()
    for first in range(0, 320, 32):
        for b in (mixing, other):
            fill(b, first, 32)
        mixing.take(8), other.take(8)
        mixing.state()
        assert torch.equal(mixing.take(24), other.take(24))


def test_sixteen_bits_are_kept_as_they_are() -> None:
    mixing = buffer(4, dtype=torch.bfloat16)
    values = torch.tensor([[1.0, 3.140625], [2.0, -0.007812]]).bfloat16()
    slots = mixing.free_slots(2)
    mixing.write(slots, values)
    mixing.admit(slots)
    taken = mixing.take(2)
    assert taken.dtype == torch.float32
    assert torch.equal(taken[taken[:, 0].argsort()], values.float())
    assert mixing._memory.element_size() == 2
