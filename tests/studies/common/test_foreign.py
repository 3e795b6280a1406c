"""The rule for foreign latents, held against loops and a planted latent."""

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from studies.common.foreign import RULE, ForeignRule, quantiles_of

WIDTH = 5


def draw(tokens: int, densities: list[float], strengths: list[float], seed: int) -> torch.Tensor:
    """Codes [tokens, latents]: each fires so densely, with activations about such a mean."""
    rng = np.random.default_rng(seed)
    fires = rng.random((tokens, len(densities))) < np.array(densities)
    return torch.from_numpy(fires * np.array(strengths) * rng.uniform(0.5, 1.5, fires.shape)).float()


def strong(dense: torch.Tensor, limits: torch.Tensor) -> np.ndarray:
    """Strong densities [latents]."""
    return np.asarray((dense > limits).float().mean(0))


@pytest.mark.parametrize("quantile", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_a_quantile_is_exactly_an_activation(quantile: float) -> None:
    dense = draw(3000, [1.0, 0.3, 0.01, 0.0, 0.7], [1.0, 5.0, 0.1, 1.0, 2.0], 0)
    found = quantiles_of(*dense.topk(4, dim=1), WIDTH, [0.5, quantile])
    for latent, value in enumerate(found[1].tolist()):
        kept = dense[:, latent] * (dense >= dense.topk(4, dim=1).values[:, -1:])[:, latent]
        positive = np.sort(kept[kept > 0].numpy())
        assert value == (positive[round((len(positive) - 1) * quantile)] if len(positive) else 0.0)


def test_the_order_of_tokens_and_latents_does_not_matter() -> None:
    dense = draw(500, [0.5] * WIDTH, [1.0] * WIDTH, 1)
    values, latents = dense.topk(WIDTH, dim=1)
    one = quantiles_of(values, latents, WIDTH, [0.9])
    tokens, places = torch.randperm(500), torch.randperm(WIDTH)
    assert torch.equal(one, quantiles_of(values[tokens][:, places], latents[tokens][:, places], WIDTH, [0.9]))


def test_strength_finds_a_planted_latent_that_density_does_not() -> None:
    """0: of a part of its own text that the other lacks, where the budget makes it fire weakly; 1: of both texts; 2: weak on
    both; 3: of the other alone; 4: silent on its own text."""
    own = draw(20_000, [0.05, 0.05, 0.02, 0.001, 0.0], [1.0, 1.0, 0.1, 1.0, 1.0], 3)
    other = draw(20_000, [0.05, 0.05, 0.02, 0.05, 0.05], [0.02, 1.0, 0.1, 1.0, 1.0], 4)
    limits = RULE.share * quantiles_of(*own.topk(WIDTH, dim=1), WIDTH, [RULE.quantile])[0]
    on_own, on_other = strong(own, limits), strong(other, limits)
    assert RULE.foreign(on_own, on_other).tolist() == [True, False, False, False, False], "foreign to the other text"
    assert RULE.foreign(on_other, on_own).tolist() == [False, False, False, True, True], "woken by it"
    dense_own, dense_other = strong(own, torch.zeros(WIDTH)), strong(other, torch.zeros(WIDTH))
    assert not RULE.foreign(dense_own, dense_other).any(), "weak firing hides the first"


@pytest.mark.parametrize("name", ["share", "quantile", "often", "seldom"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_numbers_outside_0_and_1_are_refused(name: str, value: float) -> None:
    with pytest.raises(FaithfulError, match=f"{name} of the rule for foreign latents is .*between 0 and 1"):
        ForeignRule(**{name: value})
