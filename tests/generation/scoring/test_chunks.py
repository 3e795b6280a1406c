"""Chunks of a scoring: held until they are taken."""

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from generation.scoring import chunks


def test_kept_sums_are_held_until_they_are_taken_and_no_longer() -> None:
    class Sums(dict[str, np.ndarray]):
        pass

    made = [Sums() for _ in range(3)]
    held = [weakref.ref(one) for one in made]
    scorer: Any = SimpleNamespace(device=torch.device("cpu"), in_order=lambda *_: iter(()))
    kept: Any = SimpleNamespace(load=lambda _: made.pop())
    documents = [np.zeros(chunks.CHUNK_TOKENS["cpu"], np.int64)] * 3
    found = chunks.chunk_sums(scorer, documents, None, lambda: None, kept)  # type: ignore[arg-type, return-value]
    alive = []
    for _ in range(3):
        next(found)
        alive.append(sum(one() is not None for one in held))
    assert alive == [2, 1, 0]
