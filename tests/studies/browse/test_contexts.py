"""Contexts of a latent, on firings that are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faithful.hooks.hook import Hook
from faithful.hooks.truncated import TruncatedModel
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE
from studies.browse.contexts import BEFORE, DIGITS, LEVELS, Firings, ReadText, read_text
from studies.common.codes import code_text
from studies.common.panel import noise_rows, ordinary_ids
from tests.studies.random_saes import random_sae


def decoded(codes: str, largest: float) -> dict[int, float]:
    """Activations by their distance from the first token shown."""
    parts = [codes[at : at + 3] for at in range(0, len(codes), 3)]
    levels = {DIGITS.index(a): DIGITS.index(b) * 64 + DIGITS.index(c) for a, b, c in parts}
    return {at: level / LEVELS * largest for at, level in levels.items()}


@pytest.fixture
def firings(tmp_path: Path) -> Firings:
    """Of three latents that read one dimension each: the first fires at position 2 of context c with c + 1, and half as
    strongly after it; the second nowhere; the third everywhere else, in an order that is not the text's."""
    contexts, length = 30, 40
    owners, positions = (one.ravel() for one in np.mgrid[0:contexts, 1:length])
    x = np.zeros((len(owners), 3), np.float32)
    x[:, 2] = 1
    for position, share in ((2, 1.0), (3, 0.5)):
        at = positions == position
        x[at] = 0
        x[at, 0] = share * (owners[at] + 1)
    mixed = np.random.default_rng(0).permutation(len(x))
    (tmp_path / "text").write_bytes(x[mixed].tobytes())
    sae = TopKSAE(torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3), 1)
    return Firings(ReadText(tmp_path / "text", mixed, owners, positions), sae)


def test_the_strongest_contexts_and_their_activations(firings: Firings) -> None:
    top, _ = firings.contexts(0)
    assert [(row, middle) for row, middle, _ in top] == [(29 - rank, 2) for rank in range(8)]
    for row, middle, codes in top:
        near = decoded(codes, float(firings.largest[0]))
        first = max(1, middle - BEFORE)
        assert list(near) == [2 - first, 3 - first]
        assert list(near.values()) == pytest.approx([row + 1, (row + 1) / 2], rel=2e-3)


def test_fifths_are_spread_over_the_contexts_from_the_strongest_to_the_weakest(firings: Firings) -> None:
    _, fifths = firings.contexts(0)
    assert [[row for row, _, _ in part] for part in fifths] == [
        [29 - 6 * fifth - step for step in (0, 1, 2, 4, 5)] for fifth in range(5)
    ]


def test_a_latent_of_few_contexts_has_them_once_and_a_silent_one_has_none(firings: Firings) -> None:
    assert firings.contexts(1) == ([], [[], [], [], [], []])
    assert firings.density.tolist() == pytest.approx([2 / 39, 0, 37 / 39])
    assert firings.histogram(1, 0.0) == [0] * 24
    assert sum(firings.histogram(0, 30.0)) == 60 and firings.histogram(0, 30.0)[-1] == 2


def test_firings_are_those_of_the_codes(family_model: Callable[[str], tuple[ModelSpec, Any]], tmp_path: Path) -> None:
    spec, model = family_model("gpt2")
    truncated = TruncatedModel(model, Hook(1, "resid_pre"))
    rows = [row[: 5 + at % 9] for at, row in enumerate(noise_rows(spec, 40, 24, 0))]
    sae, ordinary = random_sae(truncated.d_in, 24, 3, 0), ordinary_ids(spec)
    text = read_text(truncated, rows, ordinary, tmp_path / "text")
    assert [(owner, at) for owner, row in enumerate(rows) for at in range(1, len(row))] == list(
        zip(text.owners.tolist(), text.positions.tolist(), strict=True)
    )
    found, coded = Firings(text, sae), code_text(truncated, [sae], rows, ordinary)
    codes = coded.codes[0]
    np.testing.assert_array_equal(found.density, codes.density)
    order = np.lexsort((coded.positions, coded.owners))
    for latent in range(24):
        strength = (codes.values * (codes.latents == latent)).sum(1).numpy()[order]
        part = slice(*found.bounds[latent : latent + 2])
        np.testing.assert_array_equal(found.places[part], np.flatnonzero(strength))
        np.testing.assert_allclose(found.values[part], strength[strength > 0], rtol=1e-5)
