"""Figures that hold a corpus against the model's own text, against direct computation."""

import math

import numpy as np
import pytest
import torch

from generation.certificate import divergences
from generation.certificate.divergences import first_token_divergences, js, kl, unigram_floor, unigram_js
from generation.certificate.reference import first_documents
from generation.sampling.distribution import Sampling
from generation.scoring.excess import BANDS, BandCounter, BandSums, excess_ce
from generation.scoring.scorer import Scorer


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


def test_band_sums_equal_a_loop_over_positions(family_model):
    spec, model = family_model("gpt2")
    generator = np.random.default_rng(3)
    documents = [generator.integers(0, spec.vocab_size, n) for n in (1, 2, 3, 9, 40)]
    counter = BandCounter()
    scorer = Scorer(model, spec, Sampling())
    for batch in ([0, 3], [1, 2, 4]):
        chosen = [documents[i] for i in batch]
        counter.add(scorer.score(chosen, np.full(sum(map(len, chosen)), -1)))
    sums = counter.result()
    for row, document in enumerate([documents[i] for i in (0, 3, 1, 2, 4)]):
        ids = torch.tensor([[spec.bos_id, *document.tolist()]])
        with torch.inference_mode():
            log_p = model(input_ids=ids).logits[0, :-1].log_softmax(-1).double()
        tokens, surprise, entropy = (np.zeros(BANDS) for _ in range(3))
        for place, token in enumerate(document.tolist()):
            band = (place + 1).bit_length() - 1
            tokens[band] += 1
            surprise[band] -= log_p[place, token].item()
            entropy[band] -= (log_p[place].exp() * log_p[place]).sum().item()
        assert sums.tokens[row] == pytest.approx(tokens)
        assert sums.surprise[row] == pytest.approx(surprise, rel=1e-5)
        assert sums.entropy[row] == pytest.approx(entropy, rel=1e-5)
    assert sums.ce == pytest.approx(sums.surprise.sum() / 55)


def _sums(generator: np.random.Generator, documents: int, shift: float, longest: int = 31) -> BandSums:
    """Documents whose entropy at position t is 4 − log₂(t)/2 and whose surprise is that plus `shift` plus noise."""
    tokens, surprise, entropy = (np.zeros((documents, BANDS)) for _ in range(3))
    for row in range(documents):
        for t in range(1, int(generator.integers(1, longest)) + 1):
            band = t.bit_length() - 1
            tokens[row, band] += 1
            entropy[row, band] += 4 - band / 2
            surprise[row, band] += 4 - band / 2 + shift + generator.normal()
    return BandSums(tokens, surprise, entropy)


def test_excess_ce_does_not_see_lengths_and_finds_the_shift():
    generator = np.random.default_rng(4)
    own = _sums(generator, 400, 0.0)
    short = _sums(generator, 400, 0.0, longest=4)
    value, (low, high) = excess_ce(short, own, seed=0)
    assert low < 0 < high and abs(value) < 0.15
    assert abs(short.ce - own.mean_entropy) > 0.5
    value, (low, high) = excess_ce(_sums(generator, 400, 0.3), own, seed=0)
    assert low < 0.3 < high and low > 0.1


def test_excess_ce_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        _, (low, high) = excess_ce(_sums(generator, 60, 0.2), _sums(generator, 60, 0.0), seed=1)
        covered += low < 0.2 < high
    assert covered >= 49


def test_bands_that_the_own_corpus_never_reaches_take_its_last_entropy():
    corpus = BandSums(*(np.zeros((2, BANDS)) for _ in range(3)))
    own = BandSums(*(np.zeros((2, BANDS)) for _ in range(3)))
    corpus.tokens[:, 5], corpus.surprise[:, 5] = 10, 30
    own.tokens[:, 0], own.entropy[:, 0], own.tokens[:, 2], own.entropy[:, 2] = 1, 9, 4, 8
    assert excess_ce(corpus, own, seed=0)[0] == pytest.approx(3 - 2)


def test_a_single_document_has_an_excess_and_no_interval() -> None:
    """All resamples of one are the same: its interval would say that it is known exactly."""
    draw = np.random.default_rng(0)
    own = banded(draw, 400, 2.5, 0.2)
    for corpus, reference in ((banded(draw, 1, 3.0, 0.3), own), (own, banded(draw, 1, 3.0, 0.3))):
        value, interval = excess_ce(corpus, reference, 0)
        assert np.isfinite(value) and interval is None
    assert excess_ce(banded(draw, 2, 3.0, 0.3), own, 0)[1] is not None


def test_first_documents_stop_at_the_budget_and_leave_out_empty_ones():
    documents = [np.zeros(n, np.int64) for n in (3, 0, 4, 5)]
    assert [len(d) for d in first_documents(documents, 6)] == [3, 4]
    assert [len(d) for d in first_documents(documents, 99)] == [3, 4, 5]


def banded(draw: np.random.Generator, documents: int, mean: float, spread: float) -> BandSums:
    """Documents of 20 to 127 tokens whose mean surprise differs from one to the other."""
    sums = np.zeros((3, documents, BANDS))
    for place, length in enumerate(draw.integers(20, 128, documents)):
        band = np.log2(np.arange(length) + 1).astype(int)
        surprise = mean + spread * draw.standard_normal() + draw.gamma(1, 2.0, length) - 2.0
        sums[:, place] = [np.bincount(band, weights, BANDS) for weights in (None, surprise, np.full(length, 2.5))]
    return BandSums(*sums)


@pytest.mark.parametrize("documents", [5, 10])
def test_the_interval_of_few_documents_holds_the_excess(documents: int) -> None:
    draw = np.random.default_rng(0)
    own, missed = banded(draw, 400, 2.5, 0.2), 0
    for seed in range(150):
        ends = excess_ce(banded(draw, documents, 3.0, 0.3), own, seed)[1]
        assert ends is not None
        missed += not ends[0] <= 0.5 <= ends[1]
    assert missed <= 14, "8 of 150 are expected; the bootstrap alone misses 16 and 24"
