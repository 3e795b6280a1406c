"""Chosen on one half and scored on the other."""

import numpy as np
import pytest

from studies.unlearning.choose import Answers, Lost, best_of_all, choose, differences


def answers(*clamped: list[int], clean: list[int] | None = None) -> Answers:
    count = len(clamped[0])
    return Answers(
        np.array(clean or [1] * count, bool), np.array(clamped, bool), np.arange(count) >= count // 2
    )  # fmt: skip


def test_each_half_is_scored_under_what_the_other_one_chooses() -> None:
    """Setting 0 loses the first half, setting 1 the second: chosen on one, either loses nothing on the other."""
    forget = answers([0, 0, 1, 1], [1, 1, 0, 0])
    retain = answers([1] * 4, [1] * 4)
    assert choose(forget, retain, 0.01) == (1, 0)
    lost = differences(forget, forget.clamped[1], forget.clamped[0])
    assert lost.tolist() == [0, 0, 0, 0]
    assert best_of_all(forget, retain, 0.01) == 0.5


def test_a_setting_that_costs_the_rest_too_much_is_not_chosen() -> None:
    forget = answers([0, 0, 0, 0], [1, 0, 1, 0])
    retain = answers([0, 1, 0, 1], [1, 1, 1, 1])
    assert choose(forget, retain, 0.01) == (1, 1) and choose(forget, retain, 0.6) == (0, 0)
    assert best_of_all(forget, retain, 0.01) == best_of_all(forget, retain, 0.6) == 0.5


def test_the_best_of_all_is_what_would_be_chosen() -> None:
    """Setting 0 loses most of the forget questions, setting 1 more of them than of the rest."""
    forget = answers([0, 0, 0, 1], [0, 1, 0, 1])
    retain = answers([0, 1, 0, 1], [1, 1, 1, 1])
    assert choose(forget, retain, 0.6) == (0, 0) and best_of_all(forget, retain, 0.6) == 0.25
    assert best_of_all(forget, retain, 0.01) == 0.5


def test_where_nothing_is_lost_nothing_is_chosen() -> None:
    forget = answers([1, 1, 1, 1], [0, 0, 0, 0], clean=[0, 1, 0, 1])
    same = answers([1] * 4, [0] * 4)
    assert choose(forget, same, 0.01) == (None, None) and best_of_all(forget, same, 0.01) == 0


def test_noise_alone_looks_like_unlearning_only_where_it_is_chosen_and_scored_on_the_same_questions() -> None:
    """24 settings that flip answers at random: the best of all is well above 0, the crossed one about 0."""
    generator = np.random.default_rng(0)
    best, crossed = [], []
    for _ in range(200):
        clean = generator.random(60) < 0.6
        noisy = [clean ^ (generator.random((24, 60)) < 0.1) for _ in range(2)]
        forget, retain = (Answers(clean, one, np.arange(60) >= 30) for one in noisy)
        best.append(best_of_all(forget, retain, 0.05))
        first, second = choose(forget, retain, 0.05)
        halves = [clean if place is None else forget.clamped[place] for place in (first, second)]
        crossed.append(differences(forget, *halves).mean() - forget.lost().mean())
    assert np.mean(best) > 0.06 and abs(np.mean(crossed)) < 0.015


def test_what_is_lost_knows_other_questions() -> None:
    lost = Lost.of([np.array([1.0, 0, 1, 0] * 25), np.zeros(10)], seed=0)
    assert (lost.forget, lost.retain) == (0.5, 0)
    assert lost.draws[0].std() == pytest.approx(0.05, abs=0.01) and not lost.draws[1].any()
