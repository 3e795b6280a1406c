"""Latents of little energy are shut, within a bound that holds as it is proved, and not with half of it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.sae.stack import Stack
from faithful.sae.variants.compression import Compression
from tests.faithful.sae.data import CONFIG, batches, trained

DATA = batches(200, 64, 24)


def stack(**settings: Any) -> Stack:
    return trained(replace(CONFIG, steps=200, lr=5e-3, variant=Compression(**settings)), DATA)


def test_the_bound_holds_doubled_and_fails_as_first_specified() -> None:
    found = stack(keep=0.25, check_every=2).report(0)
    assert found["kept"] == 24
    assert found["bound_checks"] > 1000 and found["bound_violations"] == 0
    assert found["single_bound_violations"] > 0.01 * found["bound_checks"]
    assert 0.2 < found["bound_tightness"] <= 1


def test_latents_that_are_out_never_fire_in_the_saved_sae_and_count_as_out() -> None:
    made = stack(keep=0.25)
    gate, sae = made.states[0]["gate"], made.sae(0)
    fired = (sae.encode(torch.cat(DATA[-20:])) > 0).any(0)
    assert not fired[~gate].any() and fired[gate].sum() > 20
    assert not sae.W_enc[:, ~gate].any() and not sae.b_enc[~gate].any() and not sae.W_dec[~gate].any()
    assert torch.allclose(sae.W_dec[gate].norm(dim=1), torch.ones(24)) and sae.d_sae == CONFIG.d_sae
    kept, out = made.states[0]["importance"][gate], made.states[0]["importance"][~gate]
    assert kept.median() > out.median()


def test_shares_over_the_training() -> None:
    assert stack(keep=0.25, schedule="at once", warmup=0.99 * 0.9).report(0)["kept"] == 24
    assert stack(keep=1.0).report(0)["bound_checks"] == 0
    loose, strict = (stack(keep=0.1, schedule="controlled", epsilon=e).report(0)["kept"] for e in (1.0, 1e-6))
    assert loose < 0.7 * strict


def test_the_bound_is_of_the_gate_alone_where_scores_are_rounded() -> None:
    data = batches(60, 64, 64)
    config = replace(CONFIG, d_in=64, d_sae=2048, k=32, steps=60, gemm_dtype="bfloat16", variant=Compression(keep=0.5))
    found = trained(config, data).report(0)
    assert found["bound_checks"] > 1000 and found["bound_violations"] == 0


def test_it_compresses_however_short_the_training() -> None:
    for steps, every in ((30, 10), (100, 1000)):
        config = replace(CONFIG, steps=steps, variant=Compression(keep=0.1, check_every=every))
        found = trained(config, batches(steps, 16, 24)).report(0)
        assert found["kept"] == 10 and found["bound_checks"] > 0 and found["idle"] < 10


def test_fewer_latents_than_fire_are_refused() -> None:
    with pytest.raises(FaithfulError, match="keeps 3 of 96 latents, and 4 fire per token"):
        replace(CONFIG, variant=Compression(keep=0.03))


def test_a_fall_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(FaithfulError, match=r"ends at 0\.2 of the training cannot begin at 0\.9; give the variant"):
        replace(CONFIG, variant=Compression(warmup=0.9, until=0.2))
    replace(CONFIG, variant=Compression(warmup=0.9, until=0.2, schedule="at once"))
