"""What else was drawn: resamples of examples and contexts."""

import numpy as np
import pytest

from studies.statistics.estimates import contrast, estimate
from studies.statistics.resampled import Resampled, resample_counts
from tests.studies.statistics.drawn import (
    drawn_figures,
)


def test_a_contrast_pairs_the_resamples() -> None:
    """What the examples do to both sides alike is no uncertainty of their difference."""
    one = drawn_figures(1, 6, 100, 1.0, 0.1)
    other = Resampled(
        {s: value - 0.5 for s, value in one.items() if value}, {s: d - 0.5 for s, d in one.draws.items()}, 100
    )
    found = contrast(one, other)
    assert found.value == pytest.approx(0.5) and found.error_drawn == pytest.approx(0, abs=1e-12)
    assert contrast(one, drawn_figures(2, 6, 100, 1.0, 0.1)).error_drawn == pytest.approx(0.14, rel=0.3)
    mean = Resampled.mean([one, other])
    assert mean[0] == pytest.approx((one[0] or 0) - 0.25) and mean.draws[3] == pytest.approx(one.draws[3] - 0.25)


def test_resamples_are_the_same_for_who_states_the_same() -> None:
    assert (resample_counts(9, 1, "a") == resample_counts(9, 1, "a")).all()
    assert (resample_counts(9, 1, "a") != resample_counts(9, 1, "b")).any()
    assert (resample_counts(9, 1, "a").sum(1) == 9).all()


@pytest.mark.parametrize(("units", "of_seed"), [(60, 0.0), (60, 0.05), (256, 0.05)])
def test_exchanged_answers_are_rejected_no_more_often_than_said(units: int, of_seed: float) -> None:
    """Two corpora's answers are exchanged example by example, for all seeds at once: whatever a test finds is chance.

    Over seeds alone it finds far more than 5 %; with the examples at most 5.5 % (here 600 exchanges, ± 1.8 %).
    """
    rng = np.random.default_rng(units)
    seeds, tries = 6, 600
    right = rng.random((2, seeds, units)) < np.clip(0.7 + 0.25 * rng.standard_normal((2, 1, units)), 0.02, 0.98)
    right = right ^ (rng.random((2, seeds, units)) < of_seed)
    difference = right[0].astype(float) - right[1]
    counts = resample_counts(units, 0, "examples")
    rejected = np.zeros(2)
    for _ in range(tries):
        x = difference * rng.choice([-1.0, 1.0], units)
        figures = dict(enumerate(x.mean(1).tolist()))
        with_examples = estimate(Resampled(figures, {s: counts @ x[s] / units for s in range(seeds)}, units)).p
        alone = estimate(figures).p
        rejected += [alone is not None and alone < 0.05, with_examples is not None and with_examples < 0.05]
    assert rejected[0] / tries > 0.08 and rejected[1] / tries < 0.065
