"""The rule for foreign latents, held against loops and a planted latent."""

import numpy as np
import pytest
import torch

from faithful.base.errors import FaithfulError
from studies.common.foreign import RULE, ForeignRule, Strongest, count_strong

WIDTH = 5


def draw(tokens: int, densities: list[float], strengths: list[float], seed: int) -> torch.Tensor:
    """Codes [tokens, latents]: each fires so densely, with activations about such a mean."""
    rng = np.random.default_rng(seed)
    fires = rng.random((tokens, len(densities))) < np.array(densities)
    return torch.from_numpy(fires * np.array(strengths) * rng.uniform(0.5, 1.5, fires.shape)).float()


def sparse(dense: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, latents = dense.topk(dense.shape[1], dim=1)
    return values, latents


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("batch", [1, 37, 5000])
def test_the_reference_is_the_exact_quantile_whatever_the_pieces(quantile: float, batch: int) -> None:
    dense = draw(3000 if batch > 1 else 200, [1.0, 0.3, 0.01, 0.0, 0.7], [1.0, 5.0, 0.1, 1.0, 2.0], 0)
    found = Strongest(WIDTH, len(dense), quantile)
    for piece in dense[torch.randperm(len(dense), generator=torch.Generator().manual_seed(1))].split(batch):
        found.add(*sparse(piece))
    for latent, reference in enumerate(found.reference().tolist()):
        positive = np.sort(dense[:, latent][dense[:, latent] > 0].numpy())
        expected = positive[round((len(positive) - 1) * quantile)] if len(positive) else 0.0
        assert reference == expected


def test_a_text_longer_than_was_said_is_no_quantile() -> None:
    found = Strongest(WIDTH, 10)
    found.add(*sparse(torch.ones(10, WIDTH)))
    with pytest.raises(ValueError, match="11 tokens came"):
        found.add(*sparse(torch.ones(1, WIDTH)))


def test_strong_activations_are_counted_as_a_loop_does() -> None:
    dense, thresholds = draw(400, [0.5] * WIDTH, [1.0] * WIDTH, 2), torch.tensor([0.0, 0.5, 1.0, 2.0, 9.0])
    assert count_strong(*sparse(dense), thresholds).tolist() == (dense > thresholds).sum(0).tolist()


def test_strength_finds_a_planted_latent_that_density_does_not() -> None:
    """0: of a part of its own text that the other lacks, where the budget makes it fire weakly; 1: of both texts; 2: weak on
    both; 3: of the other alone; 4: silent on its own text."""
    own = draw(20_000, [0.05, 0.05, 0.02, 0.001, 0.0], [1.0, 1.0, 0.1, 1.0, 1.0], 3)
    other = draw(20_000, [0.05, 0.05, 0.02, 0.05, 0.05], [0.02, 1.0, 0.1, 1.0, 1.0], 4)
    kept = Strongest(WIDTH, len(own))
    kept.add(*sparse(own))
    limits = RULE.share * kept.reference()
    on_own, on_other = ((count_strong(*sparse(text), limits) / len(text)).numpy() for text in (own, other))
    assert RULE.foreign(on_own, on_other).tolist() == [True, False, False, False, False], "foreign to the other text"
    assert RULE.foreign(on_other, on_own).tolist() == [False, False, False, True, True], "woken by it"
    dense_own, dense_other = ((text > 0).float().mean(0).numpy() for text in (own, other))
    assert not RULE.foreign(dense_own, dense_other).any(), "weak firing hides the first"


@pytest.mark.parametrize("name", ["share", "quantile", "often", "seldom"])
@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_numbers_outside_0_and_1_are_refused(name: str, value: float) -> None:
    with pytest.raises(FaithfulError, match=f"{name} of the rule for foreign latents is .*between 0 and 1"):
        ForeignRule(**{name: value})
