"""Probes held against scikit-learn, their C, their folds."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from faithful.base.errors import FaithfulError
from studies.probes.fit import CS, Probe, by_mean_difference, fit_cross_validated, spread_folds
from tests.studies.probes.data import RNG


def fit(x: Any, y: np.ndarray, c: float) -> Probe:
    """The probe of one C."""
    return fit_cross_validated(x, y, spread_folds(y, None, 2, 0), (c,))


def problem(n: int, d: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of unequal size and noisy labels."""
    rng = RNG(seed)
    x = rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d) + rng.standard_normal(d)
    return x, (x @ rng.standard_normal((d, classes)) + 3 * rng.standard_normal((n, classes))).argmax(1)


@pytest.mark.parametrize(("n", "d", "classes"), [(120, 15, 2), (60, 200, 2), (60, 200, 4), (150, 10, 3)])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_same_c_gives_scikit_learns_coefficients(n: int, d: int, classes: int, c: float) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = problem(n, d, classes)
    unit = x.std(0) * d**0.5
    scaled = (x - x.mean(0)) / unit
    theirs = LogisticRegression(C=c, tol=1e-9, max_iter=20_000).fit(scaled, y)
    wanted = theirs.coef_.T / unit[:, None]
    for given in (x, csr_matrix(x)):
        ours = fit(given, y, c)
        np.testing.assert_allclose(ours.coefficients, wanted, atol=3e-3 * np.abs(wanted).max())
        expected = theirs.decision_function(scaled).reshape(n, -1)
        scores = ours.scores(given)
        shift = 0 if classes == 2 else (scores - expected).mean(1, keepdims=True)
        np.testing.assert_allclose(scores - shift, expected, atol=5e-3 * np.abs(expected).max())
        assert (ours.predict(given) == theirs.predict(scaled)).mean() > 0.99


def test_features_are_standardised_and_constant_ones_do_nothing() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = problem(80, 12, 2, 1)
    scaled = (x - x.mean(0)) / x.std(0) / 12**0.5
    assert np.mean((scaled**2).sum(1)) == pytest.approx(1)
    theirs = LogisticRegression(C=10.0, tol=1e-10, max_iter=20_000).fit(scaled, y)
    wider = np.concatenate([x * 1e3 + 5e3, np.full((80, 3), 7.0)], axis=1)
    ours = fit(wider, y, 10.0)
    np.testing.assert_allclose(ours.scores(wider)[:, 0], theirs.decision_function(scaled), atol=5e-3)
    assert not ours.coefficients[12:].any()
    flat = fit(np.ones((80, 3)), y, 1.0)
    assert flat.scores(np.ones((1, 3)))[0, 0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=1e-3)


@pytest.mark.parametrize(("d", "classes"), [(8, 2), (100, 3)])
def test_c_has_the_smallest_held_out_cross_entropy(d: int, classes: int) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    x, y = problem(72, d, classes, 2)
    folds = spread_folds(y, None, 4, 0)
    ours = fit_cross_validated(x, y, folds)
    scaled = (x - x.mean(0)) / x.std(0) / d**0.5
    expected = []
    for c in CS[: len(ours.losses)]:
        total = 0.0
        for fold in range(4):
            used = folds != fold
            model = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(scaled[used], y[used])
            total += log_loss(y[~used], model.predict_proba(scaled[~used]), normalize=False, labels=range(classes))
        expected.append(total / len(y))
    np.testing.assert_allclose(ours.losses, expected, rtol=3e-3)
    assert ours.c == CS[int(np.argmin(expected))]
    assert len(ours.losses) == len(CS) or ours.losses[-1] > ours.losses[-2]
    whole = LogisticRegression(C=ours.c, tol=1e-8, max_iter=5000).fit(scaled, y)
    assert (ours.predict(x) == whole.predict(scaled)).mean() > 0.98


def test_weights_are_those_of_the_standardised_features() -> None:
    """Whatever their unit; two features that are the same share theirs, and one that does not vary has none."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    one = y + 0.3 * rng.standard_normal(60)
    for x in (
        np.stack([one, 100 * one, np.ones(60)], 1),
        np.stack([one, 100 * one, np.ones(60)] + [np.ones(60)] * 90, 1),
    ):
        weights = fit(x, y, 1.0).weights
        assert weights[0] > 0 and weights[1] == pytest.approx(weights[0]) and np.allclose(weights[2:], 0)


def test_probes_that_cannot_be_are_refused() -> None:
    x, _ = problem(20, 5, 2)
    with pytest.raises(FaithfulError, match="two classes"):
        fit(x, np.zeros(20, np.int64), 1.0)
    x[3, 2] = np.nan
    with pytest.raises(FaithfulError, match="not finite"):
        fit(x, np.arange(20) % 2, 1.0)


def test_folds_keep_groups_whole_and_classes_even() -> None:
    rng = RNG(3)
    groups = [f"g{number}" for number in rng.integers(0, 60, 400)]
    y = rng.integers(0, 3, 400)
    folds = spread_folds(y, groups, 4, 0)
    for group in set(groups):
        assert len({fold for fold, of in zip(folds, groups, strict=True) if of == group}) == 1
    counts = np.array([np.bincount(y[folds == fold], minlength=3) for fold in range(4)])
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()
    alone = spread_folds(y, None, 4, 0)
    shares = np.array([np.bincount(y[alone == fold], minlength=3) for fold in range(4)])
    assert (np.ptp(shares, axis=0) <= 1).all()
    assert (alone == spread_folds(y, None, 4, 0)).all() and (alone != spread_folds(y, None, 4, 1)).any()


def test_latents_are_chosen_by_the_largest_class_mean_difference() -> None:
    y = np.array([0, 0, 1, 1, 2, 2])
    x = np.array([[9, 0, 1, 5], [9, 0, 1, 5], [9, 3, 1, 5], [9, 3, 1, 5], [9, 0, 7, 5], [9, 0, 7, 5.0]])
    for given in (x, csr_matrix(x)):
        assert by_mean_difference(given, y).tolist() == [2, 1, 0, 3]
