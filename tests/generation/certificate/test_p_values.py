"""P-values: exact ones against enumeration, cells, Holm's correction."""

import math
from itertools import product

import numpy as np
import pytest

from generation.certificate.p_values import holm, poisson_binomial_p, pooled_cells


def test_holm_against_the_definition() -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert holm(p) == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize("chances", [[0.1, 0.2, 0.05], [0.9, 0.95, 0.5], [0.02, 0.97, 0.4, 0.6]])
def test_poisson_binomial_equals_enumeration(chances: list[float]) -> None:
    mass = np.zeros(len(chances) + 1)
    for outcome in product((0, 1), repeat=len(chances)):
        mass[sum(outcome)] += math.prod(c if o else 1 - c for c, o in zip(chances, outcome, strict=True))
    for hits in range(len(chances) + 1):
        expected = min(1.0, 2 * min(mass[: hits + 1].sum(), mass[hits:].sum()))
        assert poisson_binomial_p(np.array(chances), hits) == pytest.approx(expected)


def test_poisson_binomial_of_many_rare_events_is_the_binomial() -> None:
    from scipy.stats import binom

    chances = np.full(5000, 1e-3)
    for hits in (0, 4, 5, 20):
        below, above = binom.cdf(hits, 5000, 1e-3), binom.sf(hits - 1, 5000, 1e-3)
        assert poisson_binomial_p(chances, hits) == pytest.approx(min(1, 2 * min(below, above)), rel=1e-6)


def test_pooled_cells_hold_enough_and_every_outcome() -> None:
    expected = np.random.default_rng(0).exponential(2.0, 200)
    cells = pooled_cells(expected)
    assert cells is not None
    labels, count = cells
    assert set(labels) == set(range(count))
    assert np.bincount(labels, weights=expected).min() >= 5
    assert pooled_cells(np.array([4.0, 4.0])) is None
    cells = pooled_cells(np.array([6.0, 7.0, 0.0, 0.0]))
    assert cells is not None
    assert cells[1] == 2
    assert set(cells[0]) == {0, 1}
