"""What single latents do: known answers."""

from itertools import chain, combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import torch

from faithful.formats.files import save_sae
from faithful.sae.stack import init_weights
from faithful.sae.topk import TopKSAE
from faithful.store.saes import find_saes
from studies.seeds.latents import Explained, from_start
from studies.seeds.stability import Latents
from tests.studies.random_saes import random_sae


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


def test_latents_that_are_shut_have_no_cosine_with_their_start(tmp_path: Path) -> None:
    start = init_weights(0, 8, 16)
    sae = random_sae(8, 16, 4, seed=0)
    sae.W_dec, sae.W_enc = start.clone(), start.T.contiguous()
    sae.W_dec[::2], sae.W_enc[:, ::2] = 0, 0
    save_sae(tmp_path, sae, {"faithful": {"identity": {"init_seed": 0, "d_sae": 16, "k": 4}}})
    (found,) = find_saes([tmp_path])
    cosines = from_start(found)
    assert cosines is not None and all(one.isnan().tolist() == [True, False] * 8 for one in cosines.values())
    figures = Latents(found, np.zeros(16), 1, **{name: one.double().numpy() for name, one in cosines.items()}).figures()
    assert [figures[f"start_{one}"] for one in ("decoder", "encoder", "decoder_unstable")] == pytest.approx([1, 1, 1])
    assert figures["start_decoder_stable"] is None
