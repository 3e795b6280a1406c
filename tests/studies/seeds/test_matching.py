"""Two SAEs matched: known answers, and every figure against its definition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from studies.common.codes import Codes
from studies.seeds.matching import (
    CURVE,
    OnPanel,
    assign_alive,
    covariance_rows,
    density_figures,
    match,
    panel_figures,
    random_rows,
)
from tests.studies.seeds.made import directions


def rows(count: int, width: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def codes(values: np.ndarray) -> Codes:
    """Dense codes as sparse ones."""
    dense = torch.from_numpy(values).float()
    latents = torch.arange(dense.shape[1]).expand(len(dense), -1).int()
    return Codes(dense, latents, dense.shape[1])


def test_latents_that_were_shut_are_shared_with_none() -> None:
    """A saved `compression` SAE has 0 for them, in its decoder and its encoder: here the first third of either SAE."""
    decoder = rows(60, 16, 0)
    decoder[:20] = 0
    found = match(directions(decoder, decoder), directions(decoder.flip(0), decoder.flip(0)))
    assert found.figures()["shared_feature_ratio"] == found.figures()["sfr_encoder"] == pytest.approx(2 / 3)


def test_a_permuted_copy_shares_everything() -> None:
    decoder, encoder = rows(60, 16, 0), rows(60, 16, 1)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    found = match(directions(decoder, encoder), directions(decoder[order], encoder[order]))
    figures = found.figures()
    assert figures["shared_feature_ratio"] == figures["sfr_both"] == figures["sfr_encoder"] == 1
    assert figures["pw_mcc"] == pytest.approx(1)
    assert figures["sfr_curve"] == [1.0] * len(CURVE)
    assert (order[found.assignment.columns] == torch.arange(60)).all()


def test_figures_equal_their_definitions() -> None:
    """Against scipy's assignment on the whole matrix of cosines."""
    from scipy.optimize import linear_sum_assignment

    generator = torch.Generator().manual_seed(3)
    a = rows(50, 12, 4)
    noise = torch.linspace(0.2, 2, 50)[:, None] * rows(50, 12, 5)
    b = torch.nn.functional.normalize(a[torch.randperm(50, generator=generator)] + noise, dim=1)
    encoders = rows(50, 12, 6), rows(50, 12, 7)
    density = np.random.default_rng(0).random((2, 50)) * (np.random.default_rng(1).random((2, 50)) > 0.3)
    found = match(directions(a, encoders[0]), directions(b, encoders[1]))
    alive = assign_alive((lambda: a, lambda: b), (density[0], density[1]))
    figures = found.figures() | density_figures(found.partners, alive, (density[0], density[1]))
    cosines = (a.double() @ b.double().T).numpy()
    left, right = linear_sum_assignment(-cosines)
    matched = cosines[left, right]
    assert figures["shared_feature_ratio"] == pytest.approx((matched > 0.7).mean())
    assert 0 < figures["shared_feature_ratio"] < 1
    assert figures["pw_mcc"] == pytest.approx(matched.mean(), abs=1e-6)
    top = ((cosines.max(1) > 0.7).mean() + (cosines.max(0) > 0.7).mean()) / 2
    assert figures["top1_ratio"] == pytest.approx(top)
    assert figures["top1_ratio"] >= figures["shared_feature_ratio"]
    weights = (density[0][left] + density[1][right]) / 2
    assert figures["sfr_weighted"] == pytest.approx((weights * (matched > 0.7)).sum() / weights.sum())
    firing = cosines[np.ix_(density[0] > 0, density[1] > 0)]
    some, others = linear_sum_assignment(-firing)
    assert figures["sfr_alive"] == pytest.approx((firing[some, others] > 0.7).mean())
    of_encoders = (encoders[0] @ encoders[1].T).numpy()[left, right]
    assert figures["sfr_both"] == pytest.approx(((matched > 0.7) & (of_encoders > 0.7)).mean())


def test_mixed_widths_match_the_smaller_side() -> None:
    wide = rows(70, 16, 8)
    found = match(directions(wide), directions(wide[:30]))
    assert found.figures()["shared_feature_ratio"] == 1
    assert len(found.assignment.rows) == 30


def test_random_decoders_share_what_random_ones_share() -> None:
    generator = torch.Generator().manual_seed(9)
    found = match(*(directions(random_rows(200, 64, generator)) for _ in range(2))).figures()
    assert found["shared_feature_ratio"] == 0
    assert 0.2 < found["pw_mcc"] < 0.5


def test_rows_with_the_covariance_lie_where_it_is() -> None:
    root = torch.diag(torch.tensor([10.0, 1.0, 0.0]))
    drawn = covariance_rows(4000, root, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.norm(dim=1), torch.ones(4000))
    assert drawn[:, 2].abs().max() < 1e-6
    assert drawn[:, 0].square().mean() > 0.8


def test_correlation_and_rotated_bases_on_the_panel() -> None:
    """Latents 0–3 are shared; 4 and 5 of both span one plane in rotated bases; 6 of each is elsewhere."""
    rng = np.random.default_rng(0)
    basis = np.eye(10)
    turn = np.array([[np.cos(0.8), np.sin(0.8)], [-np.sin(0.8), np.cos(0.8)]])
    a = torch.from_numpy(np.vstack([basis[:4], basis[4:6], basis[6:7]])).float()
    b = torch.from_numpy(np.vstack([basis[:4], turn @ basis[4:6], basis[7:8]])).float()
    shared = rng.exponential(size=(500, 4))
    plane = rng.exponential(size=(500, 2))
    rest = 0.01 * rng.exponential(size=(500, 1))
    of_a = np.hstack([shared, plane, rest])
    of_b = np.hstack([shared + 0.1 * rng.random((500, 4)), np.abs(plane @ turn.T), rest])
    found = match(directions(a), directions(b))
    figures = panel_figures(
        found.partners, None, (OnPanel.of(codes(of_a)), OnPanel.of(codes(of_b))), (lambda: a, lambda: b), seed=0
    )
    pairs = zip(found.assignment.rows, found.assignment.columns, strict=True)
    r = [np.corrcoef(of_a[:, i], of_b[:, j])[0, 1] for i, j in pairs]
    assert figures["activation_correlation"] == pytest.approx(np.mean(r))
    assert figures["unmatched_explained"] is not None and figures["unmatched_explained"] > 0.95
    assert figures["unmatched_random"] is not None and figures["unmatched_random"] < figures["unmatched_explained"]


def test_a_latent_that_does_not_vary_has_no_correlation() -> None:
    """Its variance is rounding noise."""
    rows = torch.eye(3)
    found = match(directions(rows), directions(rows))
    values = np.random.default_rng(0).random((997, 3))
    values[:, 1] = 0.1
    other = np.hstack([values[:, :1], values[:, 1:2], 1 - values[:, 2:]])
    latents = torch.arange(3).expand(997, -1).int()
    seen = tuple(OnPanel.of(Codes(torch.from_numpy(side).float(), latents, 3)) for side in (values, other))
    figures = panel_figures(found.partners, None, (seen[0], seen[1]), (lambda: rows, lambda: rows), seed=0)
    assert figures["activation_correlation"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("narrow", [0, 40])
def test_covariances_of_chosen_latents_are_those_of_their_sums(narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Token by token and from the codes' covariance alike; the codes' mean is large beside their spread."""
    monkeypatch.setattr("studies.seeds.matching.PIECE", 100)
    rng, decoder = np.random.default_rng(0), rows(40, 8, 1)
    values = np.where(rng.random((1000, 40)) < 0.9, 50 + rng.random((1000, 40)), 0).astype(np.float32)
    values[:100] = 0
    chosen, none = rng.random(40) < 0.5, np.zeros(40, bool)
    monkeypatch.setattr("studies.seeds.matching.NARROW", narrow)
    found, empty = OnPanel.of(codes(values)).covariances(lambda: decoder, (chosen, none))
    u = values[:, chosen].astype(float) @ decoder.double().numpy()[chosen]
    np.testing.assert_allclose(found.numpy(), np.cov(u.T, bias=True), rtol=1e-5, atol=1e-5 * np.var(u))
    assert not empty.any()


def test_of_many_tokens_some_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, decoder = np.random.default_rng(0), rows(40, 8, 1)
    values = rng.random((1000, 40)).astype(np.float32)
    every = np.ones(40, bool)
    wanted = OnPanel.of(codes(values[::3])).covariances(lambda: decoder, (every,))[0]
    monkeypatch.setattr("studies.seeds.matching.MOST_TOKENS", 400)
    for narrow in (0, 40):
        monkeypatch.setattr("studies.seeds.matching.NARROW", narrow)
        found = OnPanel.of(codes(values)).covariances(lambda: decoder, (every,))[0]
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-6)
