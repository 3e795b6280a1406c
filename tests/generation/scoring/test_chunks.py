"""Chunks of a scoring: what is kept of them is read when it is taken."""

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from generation.scoring import chunks


class Sums(dict[str, np.ndarray]):
    """A dict that can be watched."""


def of_kept(load: Any) -> Any:
    scorer: Any = SimpleNamespace(device=torch.device("cpu"), in_order=lambda *_: iter(()))
    kept: Any = SimpleNamespace(load=load, folder="own/.scoring")
    documents = [np.zeros(chunks.CHUNK_TOKENS["cpu"], np.int64)] * 5
    return chunks.chunk_sums(scorer, documents, None, lambda: None, kept)  # type: ignore[arg-type, return-value]


def test_one_chunk_that_is_kept_is_held_at_a_time() -> None:
    held: list[weakref.ref[Sums]] = []

    def load(_: int) -> Sums:
        made = Sums()
        held.append(weakref.ref(made))
        return made

    found, alive = of_kept(load), []
    for _ in range(5):
        next(found)
        alive.append(sum(one() is not None for one in held))
    assert max(alive) == 1


def test_a_chunk_that_is_gone_when_it_is_taken_is_a_sentence() -> None:
    left = [Sums() for _ in range(5)]
    found = of_kept(lambda _: left.pop() if left else None)
    with pytest.raises(FaithfulError, match=r"own/.scoring changed while it was read; run the same command again"):
        next(found)
