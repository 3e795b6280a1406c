"""SCR and TPP where every latent is a label, and where none is."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from faithful.sae.topk import TopKSAE
from studies.interventions.measure import (
    Part,
    Read,
    accuracy,
    effects,
    one_against_rest,
    scr,
    shuffled,
    spurious,
    strongest,
    tpp,
    trained,
    without,
)
from studies.probes.fit import fit_cross_validated


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, Read]:
    """Texts with two labels, each value of which is one latent, the second label twice as loud; and latents of noise."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2, (800, 2))
    a, b = values.T
    codes = np.concatenate([np.stack([a, 1 - a, b, 1 - b], axis=1), generator.random((800, 4))], axis=1)
    decoder = np.zeros((8, 6))
    decoder[:4, :2] = [[0.5, 0], [-0.5, 0], [0, 1], [0, -1]]
    decoder[4:, 2:] = np.eye(4)
    h = codes @ decoder + generator.normal(0, 0.15, (800, 6))
    return h, values, np.arange(800) >= 400, Read(codes, decoder)


def test_taking_the_other_label_out_gives_the_fooled_probe_its_accuracy_back() -> None:
    h, values, is_test, read = planted()
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    parts = [Part(train, test, values[:, at]) for at in (0, 1)]
    biased = train[values[train, 0] == values[train, 1]]
    of = spurious(h, parts, biased, 0)
    assert of.fooled[0] < 0.7 < of.fooled[1] and min(of.labels.accuracies) > 0.95
    found = scr(h, read, of, 2)
    assert found["scr"] == found["scr_dir1"] and found["scr"] is not None and found["scr"] > 0.7
    sparse = scr(h, Read(csr_matrix(read.codes), read.decoder), of, 2)
    assert sparse == pytest.approx(found)
    other = scr(h, Read(read.codes, read.decoder[::-1].copy()), of, 2)["scr"]
    assert other is not None and other < 0.3
    drawn = [scr(h, read, of, 2, shuffled(seed))["scr"] for seed in range(20)]
    assert np.mean([one for one in drawn if one is not None]) < 0.3


def test_a_probe_that_was_not_fooled_has_no_score() -> None:
    h, values, is_test, read = planted()
    part = Part(np.flatnonzero(~is_test), np.flatnonzero(is_test), values[:, 0])
    of = spurious(h, [part, part], part.train, 0)
    assert scr(h, read, of, 1) == {"scr_dir1": None, "scr_dir2": None, "scr": None}


def test_taking_a_class_out_hurts_its_own_probe_alone() -> None:
    generator = np.random.default_rng(1)
    classes = generator.integers(0, 3, 900)
    codes = np.concatenate([np.eye(3)[classes] * 2, generator.random((900, 3))], axis=1)
    h = codes + generator.normal(0, 0.3, (900, 6))
    is_test = np.arange(900) >= 500
    parts = one_against_rest(classes, is_test, 0)
    for part in parts:
        assert abs(part.y[part.train].mean() - 0.5) < 0.01 and not set(part.train) & set(part.test)
    of = trained(h, parts, 0)
    found = tpp(h, Read(codes, np.eye(6)), of, 1)
    assert found["tpp_intended"] is not None and found["tpp_intended"] > 0.3
    assert found["tpp_unintended"] is not None and abs(found["tpp_unintended"]) < 0.15
    assert found["tpp"] == pytest.approx(found["tpp_intended"] - found["tpp_unintended"])
    assert effects(Read(codes, np.eye(6)), parts[1], of.probes[1], of_scr=False)[[0, 2]].tolist() == [0, 0]


def test_latents_without_an_effect_are_never_taken_out() -> None:
    assert strongest(np.array([0.0, 2.0, 0.0, 3.0]), 3).tolist() == [3, 1]
    other = shuffled(0)(np.array([0.0, 2.0, 0.0, -3.0]))
    assert np.flatnonzero(other).tolist() == [1, 3] and (other >= 0).all()


def test_taking_latents_out_of_the_pool_is_taking_them_out_of_every_token() -> None:
    """Against the tokens themselves, what the SAE does not explain left as it is."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(12, 6, generator=generator), dim=1)
    sae = TopKSAE(rows.T.contiguous(), torch.zeros(12), rows, torch.full((6,), 0.2), 4)
    tokens = torch.randn(5, 9, 6, generator=generator)
    codes = sae.encode(tokens)
    out = codes.clone()
    out[..., [2, 7]] = 0
    expected = (tokens - sae.decode(codes) + sae.decode(out)).mean(1)
    read = Read(codes.mean(1).numpy(), rows.double().numpy())
    found = without(tokens.mean(1).double().numpy(), read, np.array([2, 7]), np.arange(5))
    assert found == pytest.approx(expected.numpy(), abs=1e-5)
    y = np.array([0, 1, 0, 1, 0])
    assert accuracy(fit_cross_validated(found, y, np.array([0, 0, 1, 1, 0]), (1e6,)), found, y) == 1
