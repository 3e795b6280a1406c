import numpy as np
import pytest
from scipy.stats import fisher_exact
from sklearn.metrics import balanced_accuracy_score

from studies.explanations.score import score


@pytest.mark.parametrize("seed", range(20))
def test_detection_is_balanced_accuracy_and_p_is_fishers(seed: int) -> None:
    random = np.random.default_rng(seed)
    fires = [1] * 7 + [0] * 9
    said = random.integers(2, size=16).tolist()
    found = score(fires, said)
    table = [[sum(said[:7]), 7 - sum(said[:7])], [sum(said[7:]), 9 - sum(said[7:])]]
    assert found.detection == pytest.approx(balanced_accuracy_score(fires, said))
    assert found.p == pytest.approx(fisher_exact(table, "greater").pvalue)


def test_guessing_is_above_chance_at_most_as_often_as_the_level_says() -> None:
    random, fires = np.random.default_rng(0), [1] * 10 + [0] * 10
    above = np.mean([score(fires, random.integers(2, size=20).tolist()).explained for _ in range(2000)])
    assert 0.005 < above < 0.05
    assert not score(fires, [1] * 20).explained and not score(fires, [0] * 20).explained
    assert score([1] * 5 + [0] * 5, [1] * 5 + [0] * 5).explained, "the fewest that are allowed can be told"
