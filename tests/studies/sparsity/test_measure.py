"""Overlaps against the plain product, their bounds, and spectra of densities."""

import math

import numpy as np
import pytest
import torch

from studies.common.controls import permuted_sae
from studies.sparsity import measure
from studies.sparsity.measure import EDGES, overlap, spectrum, welch_bound
from tests.studies.random_saes import random_sae


def test_overlaps_are_those_of_the_whole_product(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_sae(8, 50, 4, seed=0).W_dec * 3
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=-1).abs()
    off = cosines[~torch.eye(50, dtype=torch.bool)].view(50, 49)
    expected = {"c_dec": off.mean(), "coherence": off.max(), "nearest_cosine": off.amax(1).mean()}
    whole = overlap(rows)
    monkeypatch.setattr(measure, "ROWS_AT_ONCE", 16)
    in_chunks = overlap(rows)
    for name, value in expected.items():
        assert whole[name] == pytest.approx(float(value), abs=1e-6) and in_chunks[name] == pytest.approx(
            whole[name], abs=1e-6
        )
    assert whole["coherence_over_welch"] == whole["coherence"] / math.sqrt(42 / (8 * 49))


def test_known_decoders_have_known_overlaps() -> None:
    flat = overlap(torch.eye(6))
    assert flat == {"c_dec": 0, "coherence": 0, "nearest_cosine": 0}, "no Welch bound where all can be orthogonal"
    angles = torch.arange(3) * 2 * math.pi / 3
    tight = overlap(torch.stack([angles.cos(), angles.sin()], 1))
    assert tight["c_dec"] == pytest.approx(0.5, abs=1e-6) and tight["coherence_over_welch"] == pytest.approx(
        1, abs=1e-6
    )
    assert welch_bound(3, 2) == pytest.approx(0.5)
    twice = overlap(torch.cat([torch.eye(4), torch.eye(4)[:1], torch.zeros(1, 4)]))
    assert twice["coherence"] == 1 and twice["c_dec"] == pytest.approx(2 / 30)
    assert overlap(torch.ones(1, 4))["c_dec"] == 0
    sae = random_sae(8, 40, 4, seed=1)
    assert overlap(permuted_sae(sae, 0).W_dec)["c_dec"] == pytest.approx(overlap(sae.W_dec)["c_dec"], abs=1e-9)


def test_spectra_leave_silent_latents_out_and_count_them() -> None:
    found, counts = spectrum(np.array([0.1] * 3 + [0.001] + [0.0]))
    assert found["log_density_50"] == pytest.approx(-1) and found["log_density_5"] == pytest.approx(-2.7)
    assert found["silent_share"] == pytest.approx(0.2) and found["l0"] == pytest.approx(0.301)
    assert sum(counts) == 4 and counts[EDGES.index(-1.0)] == 3
    found, counts = spectrum(np.array([1e-9, 1.0]))
    assert sum(counts) == 2 and counts[0] == counts[-1] == 1
    silent, counts = spectrum(np.zeros(4))
    assert silent["log_density_50"] is None and silent["silent_share"] == 1 and sum(counts) == 0
