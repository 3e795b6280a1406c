"""Who fires: by token, across a batch, or all above 0; and what a gate keeps out."""

from dataclasses import dataclass

import pytest
import torch

from faithful.sae.buffers import Scratch
from faithful.sae.codes import DenseCodes, SparseCodes
from faithful.sae.encode import Encoder, _best_of_batch
from faithful.sae.stack import init_weights
from faithful.sae.variant import Variant, Weights, find_variant


@dataclass(frozen=True)
class Plain(Variant):
    """TopK."""


def encoded(variant: Variant, gate: torch.Tensor | None = None, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    codes, dead = Encoder(variant, dtype, Scratch(torch.device("cpu")))(X, WEIGHTS, 3, torch.tensor([2, 5]), gate)
    assert dead is not None
    torch.testing.assert_close(dead.scores, SCORES[:, [2, 5]], rtol=2e-2, atol=2e-2)
    return codes.dense(40).clone()


X = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
ROWS = init_weights(0, 16, 40)
WEIGHTS = Weights(ROWS, torch.linspace(-0.5, 0.5, 40), ROWS, torch.zeros(16))
SCORES = X @ ROWS.T + WEIGHTS.b_enc
GATE = torch.arange(40) % 4 != 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gate", [None, GATE])
def test_a_batch_shares_its_budget(gate: torch.Tensor | None, dtype: torch.dtype) -> None:
    found = encoded(find_variant("batchtopk", {}), gate, dtype)
    open_scores = SCORES if gate is None else SCORES.masked_fill(~gate, -torch.inf)
    least = open_scores.flatten().topk(60).values[-1]
    wanted = torch.where(open_scores >= least, open_scores, 0)
    if dtype == torch.float32:
        torch.testing.assert_close(found, wanted)
    else:
        assert ((found > 0) != (wanted > 0)).sum() <= 4
        torch.testing.assert_close(found[(found > 0)], SCORES[found > 0])
    assert int((found > 0).sum()) == 60


@pytest.mark.parametrize("gate", [None, GATE])
def test_all_above_nothing_and_the_best_of_each_token(gate: torch.Tensor | None) -> None:
    open_scores = SCORES if gate is None else SCORES.masked_fill(~gate, -torch.inf)
    torch.testing.assert_close(encoded(find_variant("standard", {}), gate), open_scores.relu())
    best = open_scores.topk(3, 1)
    wanted = torch.zeros_like(SCORES).scatter(1, best.indices, best.values.relu())
    torch.testing.assert_close(encoded(Plain(), gate), wanted)


def test_a_batch_shares_exactly_with_ties_and_with_what_is_no_number() -> None:
    scores = torch.randint(-20, 20, (64, 48), generator=torch.Generator().manual_seed(1)).float()
    for count in (1, 100, 384, 385, 3072):
        places = _best_of_batch(scores, count)
        assert len(places.unique()) == count and torch.equal(places, places.sort().values)
        chosen = scores.flatten()[places].sort(descending=True).values
        assert torch.equal(chosen, scores.flatten().sort(descending=True).values[:count])
    scores[:, :40] = torch.nan
    assert len(_best_of_batch(scores, 384)) == 384


def test_where_few_are_above_nothing_they_are_listed() -> None:
    variant = find_variant("standard", {})
    for down, kind in ((0.5, DenseCodes), (3.0, SparseCodes)):
        weights = WEIGHTS._replace(b_enc=WEIGHTS.b_enc - down)
        codes, _ = Encoder(variant, torch.float32, Scratch(torch.device("cpu")))(X, weights, 3, None, None)
        assert isinstance(codes, kind)
        assert codes.dense(40).any()
        torch.testing.assert_close(codes.dense(40), (SCORES - down).relu())


def test_what_a_gate_shuts_does_not_fire_where_fewer_are_open_than_may() -> None:
    gate = torch.arange(40) < 2
    for dtype in (torch.float32, torch.bfloat16):
        for variant in (Plain(), find_variant("batchtopk", {})):
            found = encoded(variant, gate, dtype)
            assert not found[:, 2:].any() and found[:, :2].any()
