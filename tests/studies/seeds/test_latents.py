"""What single latents do: known answers."""

from itertools import chain, combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import torch

from faithful.sae.stack import init_weights
from faithful.sae.topk import TopKSAE
from faithful.store.saes import find_saes
from studies.seeds.latents import Explained, from_start


def test_what_latents_explain_is_their_shapley_value() -> None:
    """Against the sum over all coalitions of five latents, told in two pieces."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.nn.functional.normalize(torch.randn(5, 4, generator=generator), dim=1)
    sae = TopKSAE(rows.T.contiguous(), torch.zeros(5), rows, torch.full((4,), 0.3), 3)
    h = torch.randn(400, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 20
    told = Explained()
    for part in h.split(250):
        told(0, sae, part, *sae.encode_sparse(part))
    codes = sae.encode(h).double()
    whole = float(h.double().var(0, correction=0).sum())

    def worth(some: tuple[int, ...]) -> float:
        left = h.double() - codes[:, list(some)] @ rows.double()[list(some)]
        return 1 - float(left.var(0, correction=0).sum()) / whole

    values = []
    for latent in range(5):
        others = [one for one in range(5) if one != latent]
        sides = chain.from_iterable(combinations(others, size) for size in range(5))
        values.append(
            sum(
                factorial(len(s)) * factorial(4 - len(s)) / factorial(5) * (worth((*s, latent)) - worth(s))
                for s in sides
            )
        )
    assert told.of(0).numpy() == pytest.approx(np.array(values), abs=1e-5)
    assert float(told.of(0).sum()) == pytest.approx(worth((0, 1, 2, 3, 4)), abs=1e-5)


def test_latents_are_held_against_the_row_that_both_their_sides_began_as(run: Path) -> None:
    sae = find_saes([run / "saes" / "own"])[0]
    begun = init_weights(0, sae.d_in, 96)
    assert torch.equal(begun, init_weights(0, sae.d_in, 96))
    found = from_start(sae)
    assert found is not None
    assert found["decoder"] == pytest.approx((sae.load().W_dec * begun).sum(1), abs=1e-5)
    assert float(found["decoder"].mean()) > 0.5 > float((sae.load().W_dec * begun.roll(1, 0)).sum(1).mean())
    assert found["encoder"].shape == (96,)
