"""Ids against their vocabulary."""

import pyarrow as pa
import pytest

from faithful.base.errors import FaithfulError
from faithful.store.token_bounds import refuse_outside


@pytest.mark.parametrize("ids", [[], [0], [0, 9, 4]])
def test_ids_inside_are_taken(ids: list[int]) -> None:
    refuse_outside(pa.array(ids, pa.int64()), 10, "data/part-00000.parquet")
    refuse_outside(pa.chunked_array([pa.array(ids, pa.int64()), pa.array([1], pa.int64())]), 10, "x")


@pytest.mark.parametrize(("ids", "named"), [([3, 10], 10), ([-1, 3], -1), ([-1, 12], 12)])
def test_an_id_outside_is_named_with_its_place(ids: list[int], named: int) -> None:
    with pytest.raises(FaithfulError, match=rf"^data/x holds the token id {named}, .* ends at 9;"):
        refuse_outside(pa.array(ids, pa.int64()), 10, "data/x")
