"""The rolling cache holds the columns that are alive, in their order, whatever rolled and fell off."""

import pytest
import torch

from generation.sampling.rolling_cache import RollingCache


def column(step: int) -> torch.Tensor:
    """A column that says when it came and whose it is: [rows 3, heads 2, 1, width 4]."""
    rows = torch.arange(3.0)[:, None, None, None]
    return (100 * step + rows).expand(3, 2, 1, 4).clone()


@pytest.mark.parametrize("window", [4, 5])
def test_live_columns_come_back_in_order_far_beyond_the_buffers(window: int) -> None:
    cache = RollingCache(layers=2, window=window)
    alive: list[int] = []
    for step in range(5 * window):
        alive.append(step)
        for layer in cache.rolling:
            keys, values = layer.update(column(step), -column(step))
        assert keys[0, 0, :, 0].tolist() == [100.0 * one for one in alive]
        assert torch.equal(values, -keys)
        assert cache.rolling[1].get_seq_length() == len(alive)
        if len(alive) == window or step % 7 == 6:
            cache.drop(2)
            alive = alive[2:]


def test_rows_that_are_kept_stay_themselves() -> None:
    cache = RollingCache(layers=1, window=4)
    cache.keep_rows(torch.tensor([0]))  # nothing is held yet: nothing is lost
    for step in range(3):
        cache.rolling[0].update(column(step), column(step))
    cache.keep_rows(torch.tensor([2, 0]))
    new = column(3)[[2, 0]]
    keys, _ = cache.rolling[0].update(new, new)
    assert keys[:, 0, :, 0].tolist() == [[2.0, 102.0, 202.0, 302.0], [0.0, 100.0, 200.0, 300.0]]


def test_rows_are_named_on_the_layers_own_device() -> None:
    cache, asked = RollingCache(layers=1, window=4), []

    class Elsewhere:
        """Rows on the first GPU of a model that is spread over several."""

        def to(self, device: torch.device) -> torch.Tensor:
            asked.append(device)
            return torch.tensor([1])

    cache.rolling[0].update(column(0), column(0))
    cache.keep_rows(Elsewhere())  # type: ignore[arg-type]
    assert asked == [torch.device("cpu")] and len(cache.rolling[0].key_buffer) == 1
