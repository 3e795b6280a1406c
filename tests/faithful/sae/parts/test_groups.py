"""Latents that fire together are found together."""

import numpy as np
import pytest
import torch

from faithful.sae.parts import groups
from faithful.sae.parts.firing_bits import pack
from faithful.sae.parts.groups import groups_by_firing


def planted(of: np.ndarray, blocks: int = 4000) -> torch.Tensor:
    """Bits of latents that fire half the time that their group does, and seldom else."""
    rng = np.random.default_rng(0)
    on = rng.random((blocks, of.max() + 1)) < 0.1
    fired = (on[:, of] & (rng.random((blocks, len(of))) < 0.5)) | (rng.random((blocks, len(of))) < 0.005)
    return pack(torch.from_numpy(fired))


def purity(labels: torch.Tensor, of: np.ndarray) -> float:
    """Share of latents that are in the largest part of their group."""
    found = labels.numpy()
    return sum(np.bincount(of[found == label]).max() for label in set(found.tolist())) / len(of)


@pytest.mark.parametrize("most", [4096, 30])
def test_planted_groups_are_found_whole_or_from_a_part(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST", most)
    of = np.repeat(np.arange(6), 10)
    labels = groups_by_firing(planted(of), 6, np.random.default_rng(1))
    assert labels.dtype == torch.int64 and set(labels.tolist()) == set(range(6))
    assert purity(labels, of) == 1.0


def test_latents_that_never_fire_are_in_no_group() -> None:
    bits = planted(np.repeat(np.arange(3), 4))
    bits[5] = 0
    labels = groups_by_firing(bits, 3, np.random.default_rng(0))
    assert labels[5] == -1 and (labels[:5] >= 0).all()
    bits[2:] = 0
    assert groups_by_firing(bits, 3, np.random.default_rng(0))[:3].tolist() in ([0, 1, -1], [1, 0, -1])


def test_leading_vectors_of_a_large_matrix_span_what_those_of_a_small_one_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((120, 120)))[0]
    matrix = torch.from_numpy(basis * np.r_[np.linspace(0.8, 1, 5), rng.uniform(-1, 0.3, 115)] @ basis.T)
    exact = groups._leading(matrix, 5, rng)
    monkeypatch.setattr(groups, "EXACT", 0)
    found = groups._leading(matrix, 5, rng)
    torch.testing.assert_close(found @ found.T, exact @ exact.T, rtol=0, atol=1e-4)
    torch.testing.assert_close((found * exact).sum(0).abs(), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-3)
