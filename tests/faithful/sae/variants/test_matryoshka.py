"""Prefixes halve, and the first latents explain more than as many others."""

from dataclasses import replace

import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.sae.variants.batchtopk import BatchTopK
from faithful.sae.variants.matryoshka import Matryoshka
from tests.faithful.sae.data import CONFIG, batches, trained


def test_the_first_latents_explain_more_than_without_nesting() -> None:
    data = batches(200, 64, 24)

    def first_fvu(variant: BatchTopK) -> float:
        sae, x = trained(replace(CONFIG, steps=200, lr=5e-3, variant=variant), data).sae(0), torch.cat(data[-10:])
        codes = sae.encode(x)
        codes[:, 24:] = 0
        return float((x - sae.decode(codes)).square().sum() / (x - x.mean(0)).square().sum())

    assert first_fvu(Matryoshka(levels=3)) < first_fvu(BatchTopK()) - 0.1


def test_widths_halve_and_must_be_there() -> None:
    assert Matryoshka(levels=4).prefixes(96) == (12, 24, 48, 96)
    with pytest.raises(FaithfulError, match="96 latents cannot be halved 7 times; use fewer levels"):
        replace(CONFIG, variant=Matryoshka(levels=8))
