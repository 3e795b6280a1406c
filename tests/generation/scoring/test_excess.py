"""Excess cross-entropy by bands of positions, and its interval."""

import numpy as np
import pytest
import torch

from generation.sampling.distribution import Sampling
from generation.scoring.excess import BANDS, BandCounter, BandSums, excess_ce
from generation.scoring.scorer import Scorer


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
