"""Whether the latent of a coarse class is silent on a fine one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from studies.probes.silence import silence_entry
from studies.probes.tasks.examples import TaskData
from studies.probes.tasks.levels import MARK
from tests.studies.probes.data import RNG
from tests.studies.probes.test_score import task_data

LABELS = tuple(f"{coarse}{MARK}{fine}" for coarse, fine in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")))


def planted(rate: float) -> tuple[TaskData, np.ndarray]:
    """Latent 5 is of a, silent at a rate on its fine class 2; latent 6 is of b."""
    rng = RNG(1)
    y = np.tile(np.arange(4), 600)
    codes = np.zeros((len(y), 20), np.float32)
    codes[:, 5] = (y < 3) & ~((y == 1) & (rng.random(len(y)) < rate))
    codes[:, 6] = y == 3
    codes[:, 7] = (y < 3) & (rng.random(len(y)) < 0.4)
    return replace(task_data(y, 1200), labels=LABELS), codes


@pytest.mark.parametrize("wrap", [np.asarray, csr_matrix])
def test_a_planted_hole_is_found_at_its_rate(wrap: type) -> None:
    data, codes = planted(0.7)
    found = silence_entry(wrap(codes[:1200]), wrap(codes[1200:]), data, 0)
    assert found["hole"] == pytest.approx(0.7, abs=0.05)
    assert found["hole_chance"] < 0.08
    assert found["silent"] == pytest.approx(0.7 / 3 / 2, abs=0.02)
    assert {name: one["latent"] for name, one in found["classes"].items()} == dict(
        zip(LABELS, (5, 5, 5, 6), strict=True)
    )
    assert found["classes"][LABELS[1]]["silent"] == pytest.approx(0.7, abs=0.05)
    assert found["classes"][LABELS[0]]["silent"] == found["classes"][LABELS[3]]["silent"] == 0


def test_without_one_there_is_only_chance() -> None:
    data, codes = planted(0.0)
    codes[:, 5] *= RNG(2).random(len(codes)) < 0.8
    found = silence_entry(codes[:1200], codes[1200:], data, 0)
    assert found["silent"] == pytest.approx(0.1, abs=0.03)
    assert found["hole"] < found["hole_chance"] + 0.05 and found["hole_chance"] > 0
