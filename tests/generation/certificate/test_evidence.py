"""Sums of evidence, and the tests that they give."""

import math

import numpy as np
import pytest

from generation.certificate.evidence import PIT_EDGES, Evidence


def test_pit_cells() -> None:
    assert len(PIT_EDGES) == 23
    assert np.all(np.diff(PIT_EDGES) > 0.0099)
    assert PIT_EDGES[0] == 0
    assert PIT_EDGES[-1] == 1


def test_copies_and_duplicates_are_two_chances_to_reject() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=100)
    evidence.documents, evidence.copy_log_wealth = 100, np.full(4, 3.0)
    assert evidence.tests()["copy"]["p"] == pytest.approx(math.exp(-3))
    evidence.duplicates, evidence.least_log_prob = 1, -40.0
    assert evidence.tests()["copy"]["p"] == pytest.approx(2 * 100 * 100 * math.exp(-40))


def test_events_that_are_certain_are_left_out_and_impossible_ones_reject() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=1)
    evidence.eos.add_event(np.array([False, True]), np.array([0.0, 1.0]))
    evidence.repeat.add_event(np.array([True, True]), np.array([0.0, 1.0]))
    assert evidence.tests()["eos"]["p"] is None
    assert evidence.tests()["repeat"]["p"] == 0


def test_many_first_tokens_are_pooled_to_larger_cells() -> None:
    for outcomes, cells in ((150, 150 // 2), (90, 90)):
        evidence = Evidence(np.full(outcomes, 1 / outcomes), truncated=False, population=1)
        evidence.first_counts[:] = 6
        assert evidence.tests()["first_token"]["df"] == cells - 1


def test_evidence_of_nothing_is_no_rejection() -> None:
    evidence = Evidence(np.full(10, 0.1), truncated=False, population=1)
    assert all(test["p"] is None or test["p"] == 1 for test in evidence.tests().values())
