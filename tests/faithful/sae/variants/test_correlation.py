"""The running covariance, and what its penalty reaches."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from faithful.sae.codes import DenseCodes
from faithful.sae.stack import init_weights
from faithful.sae.variant import Batch, Phase, Weights
from faithful.sae.variants.correlation import Correlation
from tests.faithful.sae.data import CONFIG, batches, trained

ROWS = init_weights(0, 6, 12)
WEIGHTS = Weights(ROWS, torch.zeros(12), ROWS, torch.zeros(6))


def batch(codes: torch.Tensor) -> Batch:
    zeros = torch.zeros(len(codes), 6)
    one = torch.ones(())
    return Batch(DenseCodes(codes), zeros, zeros, one, ROWS, torch.zeros(12), ROWS, Phase(2, 0.0), 0, 9, 0, one)


def codes(seed: int) -> torch.Tensor:
    drawn = torch.rand(200, 12, generator=torch.Generator().manual_seed(seed))
    return torch.where(drawn > 0.6, drawn, 0)


def test_it_begins_at_epsilon_and_never_drifts() -> None:
    variant = Correlation(beta=0.2, epsilon=0.5)
    state = variant.begin(WEIGHTS)
    assert torch.equal(state["covariance"], 0.5 * torch.eye(12))
    for _ in range(100):
        variant.observe(batch(codes(1)), state)
    torch.testing.assert_close(state["covariance"], codes(1).T.cov(correction=0) + 0.5 * torch.eye(12))
    assert 0 < variant.report(state)["shared_r2"] < 1 and variant.report(state)["not_finite_steps"] == 0


@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
def test_a_latent_that_never_varies_gives_numbers(epsilon: float) -> None:
    silent = codes(2)
    silent[:, 3] = 0
    variant = Correlation(epsilon=epsilon)
    state = variant.begin(WEIGHTS)
    variant.observe(batch(silent), state)
    assert torch.isfinite(variant.objective(batch(silent), state))
    assert variant.report(state)["not_finite_steps"] == 0


def gradient(**settings: Any) -> torch.Tensor:
    variant = Correlation(beta=0.05, **settings)
    state, values = variant.begin(WEIGHTS), codes(3).requires_grad_()
    (found,) = torch.autograd.grad(variant.objective(batch(values), state), values)
    return found


def test_the_gradient_is_that_of_the_definition_with_the_running_part_held() -> None:
    variant = Correlation(beta=0.05)
    state, values = variant.begin(WEIGHTS), codes(3).requires_grad_()
    variant.observe(batch(codes(4)), state)
    covariance = values.T.cov(correction=0)
    held = torch.lerp(state["covariance"], covariance.detach() + 1e-6 * torch.eye(12), 0.05)
    whole = held + covariance - covariance.detach()
    scale = whole.diagonal().rsqrt()
    squares = (whole * scale[:, None] * scale).square()
    together = ((values > 0).float().T @ (values > 0).float() > 0).fill_diagonal_(False)
    (wanted,) = torch.autograd.grad((squares * together).sum() / together.sum(), values)
    (found,) = torch.autograd.grad(variant.objective(batch(values), state), values)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-8)
    assert wanted.abs().max() > 1e-6


def test_damping_divides_the_gradient() -> None:
    torch.testing.assert_close(gradient(damped=True), 0.05 * gradient(), rtol=1e-4, atol=1e-9)
    assert gradient().abs().max() > 0


def test_beyond_the_sample_nothing_is_reached_and_k_falls_as_the_weight_rises() -> None:
    assert not gradient(sample=5)[:, 5:].any() and gradient(sample=5)[:, :5].any()
    phases = [Correlation(weight=0.4).phase(done, 4, 0.0) for done in (0.0, 0.4, 0.9)]
    assert [(phase.k, phase.objective) for phase in phases] == [(16, 0.0), (10, pytest.approx(0.2)), (4, 0.4)]


def test_the_penalty_lowers_the_correlation_it_measures() -> None:
    data = batches(150, 64, 24)
    found = [
        trained(replace(CONFIG, steps=150, lr=5e-3, variant=Correlation(weight=weight, beta=0.1)), data).report(0)
        for weight in (0.0, 3.0)
    ]
    assert found[1]["shared_r2"] < 0.8 * found[0]["shared_r2"]


def test_training_is_as_stable_without_epsilon() -> None:
    """The record held ε for what keeps it stable; fvu of the last steps with and without it."""
    data = batches(150, 64, 24)
    found = {}
    for epsilon in (1e-6, 0.0):
        variant = Correlation(weight=1.0, epsilon=epsilon)
        made = trained(replace(CONFIG, steps=150, lr=5e-3, variant=variant), data[:100])
        made.metrics()
        for x in data[100:]:
            made.step(x)
        found[epsilon] = made.metrics()[0]["fvu"], made.report(0)["not_finite_steps"]
    assert found[0.0][1] == found[1e-6][1] == 0
    assert found[0.0][0] == pytest.approx(found[1e-6][0], rel=0.02)


def test_the_memory_is_told_and_how_many_directions_it_holds() -> None:
    for size, wanted in ((12, 12), (5, 5)):
        variant = Correlation(sample=size, epsilon=0.5)
        told = variant.report(variant.begin(WEIGHTS))
        assert told["state_bytes"] == 4 * size * size + 8 and told["covariance_rank"] == pytest.approx(wanted)
    nothing = Correlation(epsilon=0.0)
    assert nothing.report(nothing.begin(WEIGHTS))["covariance_rank"] == 0
