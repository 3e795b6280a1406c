"""Tensors of others: none missing, none left over, gates as thresholds, sizes and k as stated."""

from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.formats.tensors import only, refuse_other_sizes, ungated, whole_k


def test_tensors_are_those_that_are_known_in_float32() -> None:
    held = {"W": torch.zeros(2, dtype=torch.bfloat16), "k": torch.tensor(3)}
    assert only(held, ["W"], "x", ["k"])["W"].dtype == torch.float32
    with pytest.raises(FaithfulError, match="The weights of x lack b"):
        only(held, ["W", "b"], "x", ["k"])
    with pytest.raises(FaithfulError, match="hold k, which is not supported"):
        only(held, ["W"], "x")


def test_a_gate_is_a_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    r_mag, b_gate, b_mag = torch.randn(3, 40, generator=generator).unbind()
    W, x = torch.randn(6, 40, generator=generator), torch.randn(50, 6, generator=generator)
    expected = (x @ W + b_gate > 0) * (r_mag.exp() * (x @ W) + b_mag).relu()
    one = ungated({"W_enc": W, "r_mag": r_mag, "b_gate": b_gate, "b_mag": b_mag})
    scores = x @ one["W_enc"] + one["b_enc"]
    torch.testing.assert_close(scores.relu() * (scores > one["threshold"]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("stated", "said"), [({"a": 4}, "states a 4, its weights have 3"), ({"b": 3}, "states b 3")])
def test_other_sizes_than_stated_are_refused(stated: dict[str, int], said: str) -> None:
    decoder = torch.zeros(5, 3)
    refuse_other_sizes({"a": 3, "b": 5}, "a", "b", decoder, "x")
    refuse_other_sizes({}, "a", "b", decoder, "x")
    with pytest.raises(FaithfulError, match=said):
        refuse_other_sizes(stated, "a", "b", decoder, "x")


@pytest.mark.parametrize("value", [None, 4.5, "4", {}])
def test_k_is_a_whole_number(value: Any) -> None:
    assert whole_k(4.0, "x") == whole_k({"k": 4}, "x") == 4
    with pytest.raises(FaithfulError, match="x states no whole k; set it in its config"):
        whole_k(value, "x")
