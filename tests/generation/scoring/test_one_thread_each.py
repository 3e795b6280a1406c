"""Batches side by side: the bits of one alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from faithful.models.spec import ModelSpec
from generation.sampling.distribution import Sampling
from generation.scoring.one_thread_each import one_thread_each
from generation.scoring.scorer import Scorer

Model = Callable[[str], tuple[ModelSpec, Any]]


def test_batches_side_by_side_give_the_bits_of_one_alone_and_leave_the_threads_as_they_were(
    family_model: Model,
) -> None:
    spec, model = family_model("llama")
    draw = np.random.default_rng(0)
    documents = [draw.integers(5, 200, length) for length in draw.integers(2, 40, 60)]
    before = torch.get_num_threads()
    scorer = Scorer(model, spec, Sampling(top_p=0.9))
    batches = [documents[first : first + 7] for first in range(0, 60, 7)]
    found = []
    for at_once in (1, 2, 5):
        scores = one_thread_each(scorer.log_p, batches, at_once)
        found.append(list(scores))
        assert [len(one) for one in found[-1]] == [sum(map(len, batch)) for batch in batches]
        assert torch.get_num_threads() == before
    for one, two in ((found[0], found[1]), (found[0], found[2])):
        assert all((a == b).all() for a, b in zip(one, two, strict=True))


def test_an_error_side_by_side_comes_through_and_ends_the_rest() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("the fourth")
        return number

    before, found = torch.get_num_threads(), []
    with pytest.raises(ValueError, match="the fourth"):
        found.extend(one_thread_each(work, range(1000), 2))
    assert max(begun) < 20
    assert torch.get_num_threads() == before
    results = one_thread_each(work, iter([0, 1, 2]), 8)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before
