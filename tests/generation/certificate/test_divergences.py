"""Divergences of first tokens and unigrams, and their floors."""

import math

import numpy as np
import pytest

from generation.certificate import divergences
from generation.certificate.divergences import first_token_divergences, js, kl, unigram_floor, unigram_js


def test_js_of_disjoint_distributions_is_log_two_and_of_equal_ones_zero():
    p = np.array([0.25, 0.75, 0.0, 0.0])
    assert js(p, p[::-1]) == pytest.approx(math.log(2))
    assert js(p, p) == 0
    assert js(p, np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(js(np.array([0.5, 0.25, 0.25, 0.0]), p))


def test_kl_equals_the_formula_and_is_infinite_where_q_is_zero():
    p, q = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    assert kl(p, q) == pytest.approx(0.2 * math.log(0.4) + 0.8 * math.log(1.6))
    assert kl(p, np.array([1.0, 0.0])) == math.inf


def test_first_token_divergences_are_unbiased_for_documents_of_the_model(monkeypatch):
    generator = np.random.default_rng(1)
    q = generator.dirichlet(np.full(40, 0.5))
    floor = first_token_divergences(generator.multinomial(2000, q), q).js_floor
    monkeypatch.setattr(divergences, "SIMULATIONS", 1)
    found = [first_token_divergences(generator.multinomial(2000, q), q) for _ in range(300)]
    values = np.array([[d.kl, d.js - floor] for d in found])
    error = values.std(0) * np.sqrt([1 / 300, 1 / 300 + 1 / 200])
    assert np.abs(values.mean(0) / error).max() < 4
    other = first_token_divergences(generator.multinomial(2000, q[::-1]), q)
    assert other.kl > 0.1 and other.kl_reverse > 0.1 and 0.05 < other.js <= math.log(2)


def test_too_few_documents_have_no_cells_and_still_a_first_token_js():
    q = np.array([0.5, 0.3, 0.2])
    found = first_token_divergences(np.array([3, 1, 0]), q)
    assert (found.kl, found.kl_reverse, found.cells) == (None, None, 0)
    assert found.js == js(np.array([0.75, 0.25, 0]), q)
    one = first_token_divergences(np.array([0, 0, 1]), q)
    certain = [js(row, q) for row in np.eye(3)]
    assert one.js == certain[2]
    assert one.js_floor == pytest.approx(q @ certain, rel=0.1)


def test_first_token_js_is_the_same_whatever_the_number_of_documents():
    """Equal proportions over many ids, most of them rare: no cells that come and go, only the floor falls."""
    q = np.repeat(1 / 512, 512)
    proportions = np.concatenate([np.repeat(1, 256), np.zeros(256, int)])
    few, many = (first_token_divergences(proportions * times, q) for times in (1, 40))
    assert few.js == pytest.approx(many.js, rel=1e-12)
    assert many.js == js(proportions / 256, q) > 10 * many.js_floor
    assert few.js_floor > 10 * many.js_floor


def test_the_first_token_floor_is_what_documents_of_the_model_give():
    """Against its formula where every id is common, and against draws where most are rare."""
    generator = np.random.default_rng(4)
    common = np.repeat(1 / 40, 40)
    assert first_token_divergences(np.ones(40, int) * 500, common).js_floor == pytest.approx(39 / (8 * 20_000), rel=0.1)
    rare = generator.dirichlet(np.full(3000, 0.1))
    drawn = [js(generator.multinomial(400, rare) / 400, rare) for _ in range(100)]
    one, two = (first_token_divergences(generator.multinomial(400, rare), rare, seed) for seed in (0, 1))
    error = np.std(drawn) / math.sqrt(100)
    assert one.js_floor == pytest.approx(np.mean(drawn), abs=6 * error)
    assert one.js_floor != two.js_floor == pytest.approx(one.js_floor, rel=0.01)


def test_unigram_js_reads_counts_and_its_floor_is_that_of_the_model_against_itself():
    generator = np.random.default_rng(2)
    q = generator.dirichlet(np.ones(200))
    train, own, other = (generator.choice(200, size, p=q) for size in (40_000, 4000, 4000))
    mean, largest = unigram_floor(train, own, 200)
    assert 0 < mean <= largest < 0.05
    assert unigram_js(other, own, 200) < 1.5 * largest
    assert unigram_js(generator.choice(200, 4000), own, 200) > 3 * largest
    assert unigram_js(own, own, 200) == 0
