"""The stack against a dense trainer by autograd: losses, gradients, Adam, clipping, projection, AuxK, counters."""

from typing import Any

import pytest
import torch

from faithful.sae.config import StackConfig
from tests.dense_reference import DenseTrainer
from tests.faithful.sae.data import batches, moments, stack_for

BASE: dict[str, Any] = {"d_in": 24, "d_sae": 96, "k": 4, "init_seeds": (5,), "steps": 50, "lr": 1e-3}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (128, {"dead_tokens": 10**9}),
    "clipped": (128, {"dead_tokens": 10**9, "clip": 1e-2}),
    "dead, fewer than AuxK takes": (24, {"dead_tokens": 72}),
    "dead, more than AuxK takes": (8, {"dead_tokens": 8, "auxk_k": 7}),
    "dead and clipped": (8, {"dead_tokens": 16, "auxk_k": 5, "clip": 0.05}),
    "all latents kept, the ReLU decides": (6, {"dead_tokens": 6, "k": 96, "auxk_k": 3}),
    "odd shapes": (31, {"dead_tokens": 62, "d_in": 19, "d_sae": 71, "k": 3}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_equal_the_dense_reference(case: str, dtype: torch.dtype) -> None:
    tokens, changes = CASES[case]
    config = StackConfig(**(BASE | changes))
    data = batches(config.steps, tokens, config.d_in)
    stack, reference = stack_for(config, data[0]), DenseTrainer(config, *moments(data[0]), dtype=dtype)
    seen_aux = 0.0
    for x in data:
        stack.step(x)
        expected, found = reference.step(x), stack.metrics()[0]
        seen_aux += expected["aux"]
        for name, figure in expected.items():
            assert found[name] == pytest.approx(figure, rel=2e-5, abs=2e-6), name
        assert torch.equal(stack.silent[0], reference.silent)
        assert found["dead_in_training"] == int((reference.silent >= config.dead_tokens).sum())
    assert (seen_aux > 0) == (config.dead_tokens < 10**9)
    ours = {name: tensor[0] for name, tensor in stack.weights.items()}
    theirs = {name: getattr(reference, name).detach().float() for name in ours}
    theirs["W_enc"] = theirs["W_enc"].T
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=5e-6, msg=name)
    moved = (ours["W_enc"] - stack_for(config, data[0]).weights["W_enc"][0]).abs().max()
    assert moved > 1e-3


def test_gradients_of_one_step_equal_autograd() -> None:
    """Adam hides scales; its first moment after one step is a tenth of the gradient."""
    config = StackConfig(**(BASE | {"dead_tokens": 40, "clip": 1e9}))
    data = batches(6, 8, config.d_in)
    stack, reference = stack_for(config, data[0]), DenseTrainer(config, *moments(data[0]), dtype=torch.float64)
    for x in data:
        for tensor in [*stack.adam_m.values(), *(state["exp_avg"] for state in reference.adam.state.values())]:
            tensor.zero_()
        stack.step(x)
        figures = reference.step(x)
        for name, gradient in zip(("W_enc", "b_enc", "W_dec", "b_dec"), reference.gradients, strict=True):
            expected = (gradient.T if name == "W_enc" else gradient).float()
            torch.testing.assert_close(10 * stack.adam_m[name][0], expected, rtol=1e-4, atol=1e-7, msg=name)
    assert figures["aux"] > 0
