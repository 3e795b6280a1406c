"""Linear probes: scikit-learn's solution, a planted label, folds that keep groups together, latents by mean difference."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from faithful.errors import FaithfulError
from studies.probe_fit import by_mean_difference, fit, fit_cross_validated, spread_folds


def planted(rows: int, width: int, classes: int, seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Features and the class that a linear map of them says."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, width))
    y = (x @ rng.standard_normal((width, classes)) + noise * rng.standard_normal((rows, classes))).argmax(1)
    return x, y


@pytest.mark.parametrize(("rows", "width", "classes"), [(80, 12, 2), (40, 120, 2), (90, 10, 4), (50, 90, 3)])
def test_the_solution_is_that_of_scikit_learn(rows: int, width: int, classes: int) -> None:
    x, y = planted(rows, width, classes, seed=rows, noise=1.0)
    ours = fit(x, y, c=0.3, standardise=False)
    theirs = LogisticRegression(C=0.3, tol=1e-9, max_iter=20_000).fit(x, y)
    assert np.abs(ours.coefficients - theirs.coef_.T).max() < 2e-2 * np.abs(theirs.coef_).max()
    assert (ours.predict(x) == theirs.predict(x)).mean() > 0.98


def test_sparse_features_give_the_same_probe() -> None:
    x, y = planted(70, 30, 2, seed=1, noise=0.5)
    x[np.abs(x) < 0.7] = 0
    dense, sparse = fit(x, y, c=1.0), fit(csr_matrix(x), y, c=1.0)
    assert np.allclose(dense.coefficients, sparse.coefficients, atol=1e-4)
    assert np.allclose(dense.scores(x), sparse.scores(csr_matrix(x)), atol=1e-4)


def test_a_planted_label_is_recovered_and_a_random_one_is_not() -> None:
    x, y = planted(600, 20, 2, seed=2)
    folds = spread_folds(y[:300], None, 4, seed=0)
    assert (fit_cross_validated(x[:300], y[:300], folds).predict(x[300:]) == y[300:]).mean() > 0.93
    shuffled = np.random.default_rng(3).permutation(y)
    probe = fit_cross_validated(x[:300], shuffled[:300], spread_folds(shuffled[:300], None, 4, seed=0))
    assert (probe.predict(x[300:]) == shuffled[300:]).mean() < 0.6


def test_folds_are_balanced_and_keep_groups_together() -> None:
    rng = np.random.default_rng(4)
    groups = [f"file {number}" for number in rng.integers(0, 24, 240)]
    y = rng.integers(0, 2, 240)
    folds = spread_folds(y, groups, 4, seed=0)
    for name in set(groups):
        assert len({int(fold) for fold, group in zip(folds, groups, strict=True) if group == name}) == 1
    alone = spread_folds(y, None, 4, seed=0)
    for label in (0, 1):
        counts = np.bincount(alone[y == label], minlength=4)
        assert counts.max() - counts.min() <= 1
    assert (spread_folds(y, None, 4, seed=0) == alone).all()


def test_latents_come_by_difference_of_class_means() -> None:
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], 50)
    x = rng.standard_normal((100, 8)) * 0.1
    x[y == 1, 5] += 2.0
    x[y == 0, 2] += 1.0
    assert by_mean_difference(x, y)[:2].tolist() == [5, 2]
    assert by_mean_difference(csr_matrix(x), y)[:2].tolist() == [5, 2]


def test_one_class_is_refused() -> None:
    with pytest.raises(FaithfulError):
        fit(np.ones((4, 3)), np.zeros(4, int), c=1.0)
