"""What holds for every variant: its gradients, resuming to the bit, independence of cells, what is saved."""

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from faithful.sae.config import StackConfig
from faithful.sae.stack import Stack, select_cells
from faithful.sae.variant import Variant, find_variant, variant_names
from tests.dense_reference import DenseTrainer
from tests.faithful.sae.data import batches, moments, stack_for, trained

SETTINGS: dict[str, dict[str, Any]] = {
    "compression": {"keep": 0.3, "warmup": 0.1, "until": 0.6},
    "correlation": {"weight": 1.0, "sample": 40},
    "matryoshka": {"levels": 3},
    "orthogonal": {"weight": 0.3, "groups": 5, "sample": 30, "by_error": True, "theta": 2.0, "one_bias": True},
    "ortsae": {"chunk": 20},
    "sharing": {"weight": 0.3, "groups": 5, "sample": 30, "theta": 1.5, "relative": True},
    "l2": {"weight": 1e-3},
}
BASE: dict[str, Any] = {"d_in": 24, "d_sae": 96, "k": 4, "steps": 50, "lr": 1e-3, "dead_tokens": 160, "auxk_k": 5}
BASE["eps"] = 1e-6  # with Adam's own, a gradient that is 0 but for rounding would move a weight by the learning rate


def variant(name: str) -> Variant:
    """With settings in which all of it is at work on a small stack."""
    return find_variant(name, SETTINGS.get(name, {}))


def config(name: str, *seeds: int) -> StackConfig:
    return StackConfig(**BASE, init_seeds=seeds, variant=variant(name))


def cell_tensors(stack: Stack, cell: int) -> list[Tensor]:
    """Everything a stack knows of a cell."""
    state = select_cells(stack.state_dict(), (stack.config.init_seeds[cell],))
    named = [tensor for group in (state["weights"], state["first"], state["second"]) for tensor in group.values()]
    return [*named, state["silent"], state["fvu"], state["sums"], *state["states"][0].values()]


@pytest.mark.parametrize("name", variant_names())
def test_fifty_steps_equal_the_dense_reference_in_float64(name: str) -> None:
    how = config(name, 5)
    data = batches(how.steps, 48, how.d_in)
    stack, reference = stack_for(how, data[0]), DenseTrainer(how, *moments(data[0]), dtype=torch.float64)
    paid = 0.0
    for x in data:
        stack.step(x)
        expected, found = reference.step(x), stack.metrics()[0]
        for figure, value in expected.items():
            assert found[figure] == pytest.approx(value, rel=1e-4, abs=1e-5), figure  # type: ignore[literal-required]
        paid += abs(expected["objective"])
    assert (paid > 0) == (type(how.variant).objective is not Variant.objective)
    ours = {weight: tensor[0] for weight, tensor in stack.weights.items()}
    theirs = {weight: getattr(reference, weight).detach().float() for weight in ours}
    theirs["W_enc"] = theirs["W_enc"].T
    for weight, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[weight], rtol=0, atol=1e-5, msg=weight)
    for remembered, tensor in stack.states[0].items():
        wanted = reference.state[remembered].to(tensor.dtype)
        torch.testing.assert_close(tensor, wanted, rtol=1e-4, atol=1e-4, msg=remembered)


@pytest.mark.parametrize("name", variant_names())
def test_a_cell_alone_or_among_others_and_gone_on_with_is_the_same_to_the_bit(name: str) -> None:
    data = batches(50, 24, BASE["d_in"])
    alone = trained(config(name, 7), data)
    begun = trained(config(name, 3, 7, 1), data[:23])
    file = io.BytesIO()
    torch.save(begun.state_dict(), file)
    file.seek(0)
    went_on = Stack(config(name, 3, 7, 1), torch.zeros(BASE["d_in"]), 1.0, "cpu")
    went_on.load_state_dict(torch.load(file, weights_only=True))
    for x in data[23:]:
        went_on.step(x)
    for one, other in zip(cell_tensors(alone, 0), cell_tensors(went_on, 1), strict=True):
        assert torch.equal(one, other)
    assert alone.report(0) == went_on.report(1)
    assert torch.equal(alone.sae(0).encode(data[0]), went_on.sae(1).encode(data[0]))


@pytest.mark.parametrize("name", variant_names())
def test_what_is_saved_reconstructs_as_training_did(name: str) -> None:
    how = replace(config(name, 2), lr=5e-3, steps=300, dead_tokens=1000)
    data = batches(300, 64, how.d_in)
    stack = trained(how, data[:-8])
    stack.metrics()
    for x in data[-8:]:
        stack.step(x)
    figures, sae, x = stack.metrics()[0], stack.sae(0), torch.cat(data[-8:])
    codes = sae.encode(x)
    assert bool((codes >= 0).all())
    fvu = (x - sae.decode(codes)).square().sum() / (x - x.mean(0)).square().sum()
    assert float(fvu) == pytest.approx(figures["fvu"], abs=0.1)
    assert sae.k == (how.k if how.variant.budget == "token" else None)
    assert float((codes > 0).sum(1).double().mean()) == pytest.approx(figures["l0"], rel=0.25)
    assert figures["l0"] == pytest.approx(how.k, rel=0.25)
    assert all(isinstance(value, float) for value in stack.report(0).values())


@pytest.mark.parametrize("name", variant_names())
def test_the_memory_stated_holds_what_is_remembered(name: str) -> None:
    stack = stack_for(config(name, 0), batches(1, 8, BASE["d_in"])[0])
    remembered = sum(tensor.nbytes for tensor in stack.states[0].values())
    assert remembered - 64 <= stack.config.variant.memory(BASE["d_in"], BASE["d_sae"]) <= remembered + 64
