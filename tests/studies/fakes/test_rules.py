"""The rules of fake latents, held against loops."""

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from studies.fakes import rules as fake_rules
from studies.fakes.rules import (
    CONTRAST,
    OF_NOISE,
    as_json,
    bound,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
    interval,
    resampled_contrast,
    resampled_foreign,
    resampled_shares,
)
from studies.statistics.resampled import Drawn
from tests.studies.fakes.counted import CONTEXTS, LENGTH, WIDTH, count, draw


def test_counts_equal_a_loop() -> None:
    dense = draw([0.02, 0.2, 0.5, 0.0, 1.0, 0.1], 0.9, 0)
    thresholds = np.array([[1.0] * WIDTH, [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]])
    found = count(dense, thresholds)
    assert (found.fired == (dense > 0).sum((0, 1))).all()
    assert (found.summed == (dense.sum(1) > 1).sum(0)).all()
    for place, limits in enumerate(thresholds.astype(np.float32)):
        assert (found.above[place] == (dense.astype(np.float32) > limits).sum((0, 1))).all()
    assert found.tokens == CONTEXTS * LENGTH
    assert found.l0 == pytest.approx((dense > 0).sum(-1).mean())
    assert (fake_notes(found) == ((dense.sum(1) > 1).mean(0) > 0.05)).all()
    assert (fake_code(found) == ((dense > 1).mean((0, 1)) > 0.1)).all()
    for p in (0.01, 0.05, 0.1):
        assert (fake_density(found, p) == ((dense > 0).mean((0, 1)) > p)).all()


def test_each_text_is_resampled_by_itself() -> None:
    """The same weights for noise and panel would make both rise and fall together, and the interval too narrow."""
    dense = draw([0.01] * 200, 1.0, 1)
    drawn = []
    for text in ("random tokens", "text", "text"):
        found = count(dense, text=text).resampled
        assert found is not None
        drawn.append(found.shares[OF_NOISE.index("fake_density_1")])
    assert drawn[0].std() > 0 and (drawn[1] == drawn[2]).all()
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 0.3


def test_a_draw_is_the_rule_on_contexts_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule on contexts repeated as often as the draw's weights say; the sums of `fake_notes` over the first 25."""
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 25)
    on_noise = draw([0.009, 0.011, 0.05, 0.1, 0.001, 0.0005] * 5, 1.2, 5)
    on_text = draw([0.0, 0.001, 0.001, 0.5, 0.0, 0.0] * 5, 1.2, 6)
    found = resampled_shares(count(on_noise, text="noise"), count(on_text, text="text"))
    weights = [
        np.random.default_rng([0, 4, zlib.crc32(text)]).poisson(1.0, (200, CONTEXTS)) for text in (b"noise", b"text")
    ]
    for place in range(0, 200, 20):
        noise, text = (
            np.repeat(dense, one[place], axis=0) for dense, one in zip((on_noise, on_text), weights, strict=True)
        )
        noted = np.repeat(on_noise[:25], weights[0][place][:25], axis=0)
        fires = (noise > 0).mean((0, 1))
        expected = {
            "fake_contrast": (fires > 0.01) & ((text > 0).mean((0, 1)) < 0.001),
            "fake_notes": (noted.sum(1) > 1).mean(0) > 0.05,
            "fake_code": (noise > 1).mean((0, 1)) > 0.1,
        } | {f"fake_density_{100 * p:g}": fires > p for p in (0.01, 0.05, 0.1)}
        assert {rule: drawn[place] for rule, drawn in found.items()} == pytest.approx(
            {rule: fake.mean() for rule, fake in expected.items()}
        )


def test_the_rule_of_the_notes_is_about_the_first_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latent 0 fires in the first contexts alone, latent 1 in the others."""
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 10)
    dense = np.zeros((CONTEXTS, LENGTH, 2))
    dense[:10, :, 0] = dense[10:, :, 1] = 1.0
    assert fake_notes(count(dense)).tolist() == [True, False]
    monkeypatch.setattr(fake_rules, "NOISE_CONTEXTS", 1000)
    assert fake_notes(count(dense)).tolist() == [True, True]


def test_planted_noise_latents_are_found_and_dense_ones_are_not() -> None:
    """0: fires on noise alone; 1: dense everywhere; 2: fires on text alone; 3: a little more on noise than on text."""
    noise = count(draw([0.2, 0.9, 0.0, 0.03], 1.0, 2))
    text = count(draw([0.0, 0.9, 0.3, 0.01], 1.0, 3))
    assert fake_contrast(noise, text).tolist() == [True, False, False, False]
    assert fake_density(noise, CONTRAST).tolist() == [True, True, False, True]
    low, high = interval(resampled_shares(noise, text)["fake_contrast"])
    assert low == high == 0.25


def test_a_draw_without_tokens_is_left_out() -> None:
    """Of one context of text more than a third of the draws hold nothing: they say nothing of how rare a latent is there."""
    noise, text = (
        count(draw([0.2, 0.9], 2.0, seed)[:contexts], text=str(seed)) for seed, contexts in ((2, 40), (3, 1))
    )
    seldom = np.random.default_rng([0, 4, zlib.crc32(b"3")]).poisson(1.0, (200, 1))[:, 0] == 0
    assert noise.resampled is not None and text.resampled is not None and 50 < seldom.sum() < 100
    assert (np.isnan(text.resampled.shares) == seldom).all() and not noise.resampled.is_empty.any()
    silent = replace(text, resampled=replace(text.resampled, rare=np.full((200, 1), 255, np.uint8)))
    of_both = (resampled_contrast(noise, silent), resampled_foreign(silent, noise), resampled_foreign(noise, silent))
    for shares in of_both:
        kept = json.loads(json.dumps(as_json(shares), allow_nan=False))
        assert [one is None for one in kept] == seldom.tolist()
        of_mean = Drawn.of([0], {0: np.array(kept, float)}, 9)
        assert of_mean is not None and np.isfinite(of_mean.variance)
    assert interval(as_json(of_both[0])) == [1.0, 1.0]


def test_interval_widens_where_contexts_decide() -> None:
    """A latent that fires in every tenth context only is fake in some resamples and not in others."""
    dense = np.zeros((CONTEXTS, LENGTH, 2))
    dense[:1, :12, 0] = 1.0
    dense[:, ::10, 1] = 1.0
    low, high = interval(resampled_shares(count(dense), count(np.zeros_like(dense)))["fake_contrast"])
    assert low == 0.5 and high == 1.0


def test_no_more_than_the_bound_are_dense() -> None:
    noise = count(draw([0.011] * 50 + [0.0] * 50, 1.0, 4))
    for p in (0.001, 0.01, 0.05):
        assert fake_density(noise, p).sum() <= bound(noise, p) <= 100
