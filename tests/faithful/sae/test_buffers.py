"""Scratch memory and slices."""

import pytest
import torch

from faithful.sae.buffers import Scratch, chunks, stacked


@pytest.mark.parametrize(("total", "size"), [(0, 3), (1, 3), (7, 3), (9, 3), (5, 0)])
def test_slices_cover_everything_once_and_a_gpu_takes_it_whole(total: int, size: int) -> None:
    on_cpu = chunks(total, size, torch.device("cpu"))
    assert [i for part in on_cpu for i in range(total)[part]] == list(range(total))
    assert all(0 < part.stop - part.start <= max(1, size) for part in on_cpu)
    assert chunks(total, size, torch.device("meta")) == ([slice(0, total)] if total else [])


def test_scratch_of_a_name_is_used_again_where_it_fits() -> None:
    scratch = Scratch(torch.device("cpu"))
    large = scratch.take("x", 4, 5)
    assert large.shape == (4, 5) and large.dtype == torch.float32 and large.is_contiguous()
    small = scratch.take("x", 2, 3)
    assert small.data_ptr() == large.data_ptr()
    assert scratch.take("y", 2, 3).data_ptr() != large.data_ptr()
    assert scratch.take("x", 2, 3, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert scratch.take("z", 9).shape == (9,)


def test_a_stack_of_zeros_has_a_row_per_cell() -> None:
    made = stacked(3, (2, 4), torch.device("cpu"))
    assert made.shape == (3, 2, 4) and not made.any()
    assert (made[1].data_ptr() - made[0].data_ptr()) % 64 == 0, "each begins at a cache line"
