"""Excess cross-entropy: how much harder a corpus is to predict for the model than its own text, position by position.

`excess_ce` (docs/metrics.md, "Corpus") is the mean of −log p(x_t) − H̄_own(t); H̄_own(t) is the mean entropy of the model's own
T 1 corpus in the band of positions that t falls into: 1, 2–3, 4–7, 8–15 … Entropy falls along a document, so lengths would
confound an unmatched difference.
"""

from dataclasses import dataclass

import numpy as np

from generation.scoring.scorer import TokenScores

BANDS = 24
DRAWS, CHUNK = 1000, 50


@dataclass(frozen=True)
class BandSums:
    """Sums over each document's tokens by band of positions, float64 [documents, bands].

    Attributes:
        tokens: number of tokens.
        surprise: Σ −log p(x), nats.
        entropy: Σ H(p), nats.
    """

    tokens: np.ndarray
    surprise: np.ndarray
    entropy: np.ndarray

    @property
    def ce(self) -> float:
        """Mean −log p(x_t), nats per token."""
        return float(self.surprise.sum() / self.tokens.sum())

    @property
    def mean_entropy(self) -> float:
        """Mean H(p_t), nats per token."""
        return float(self.entropy.sum() / self.tokens.sum())


class BandCounter:
    """Collects `BandSums` from the batches of a scoring pass, in any order."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []

    def add(self, scores: TokenScores) -> None:
        """Take the scores of some documents."""
        ends = np.cumsum(scores.lengths)
        position = np.arange(ends[-1]) - np.repeat(ends - scores.lengths, scores.lengths)
        band = np.log2(position + 1).astype(np.int64)
        cell = np.repeat(np.arange(len(ends)), scores.lengths) * BANDS + band
        values = (None, -scores.log_p, scores.entropy_p)
        sums = [np.bincount(cell, weights=value, minlength=len(ends) * BANDS) for value in values]
        self.parts.append(np.stack(sums).reshape(3, len(ends), BANDS))

    def result(self) -> BandSums:
        """Sums of all documents so far."""
        return BandSums(*np.concatenate(self.parts, axis=1))


def excess_ce(corpus: BandSums, own: BandSums, seed: int) -> tuple[float, list[float] | None]:
    """Excess cross-entropy and its 95 % interval: percentiles of a bootstrap over the documents of both corpora.

    A bootstrap of few documents shows too little of their spread (alone it missed 16 % at 5 documents, 10.5 % at 10): it is
    widened about the value as Student's t is beside the normal distribution. A single document shows none: there is no
    interval then.

    Args:
        corpus: the corpus' sums.
        own: those of the model's own T 1 text; a band it never reaches takes the entropy of the last one it does.
        seed: of the bootstrap.
    """
    value = float(_excess(corpus.tokens.sum(0), corpus.surprise.sum(0), own.tokens.sum(0), own.entropy.sum(0)))
    documents = min(len(corpus.tokens), len(own.tokens))
    if documents < 2:
        return value, None
    generator = np.random.default_rng(seed)
    draws: list[np.ndarray] = []
    for _ in range(0, DRAWS, CHUNK):
        ours, theirs = (_resample(sums, generator) for sums in (corpus, own))
        draws.append(_excess(ours[0], ours[1], theirs[0], theirs[2]))
    low, high = np.percentile(np.concatenate(draws), [2.5, 97.5])
    widen = _widening(documents)
    return value, [value + widen * (float(low) - value), value + widen * (float(high) - value)]


def _widening(documents: int) -> float:
    """By how much an interval from so many documents is too narrow: t against normal quantile, n against n − 1."""
    from scipy.stats import norm, t

    freedom = documents - 1
    return float(t.ppf(0.975, freedom) / norm.ppf(0.975)) * (1 + 1 / freedom) ** 0.5


def _resample(sums: BandSums, generator: np.random.Generator) -> np.ndarray:
    """[3, draws, bands]: totals over documents drawn with replacement."""
    count = len(sums.tokens)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=CHUNK).astype(np.float64)
    return np.stack([weights @ part for part in (sums.tokens, sums.surprise, sums.entropy)])


def _excess(tokens: np.ndarray, surprise: np.ndarray, own_tokens: np.ndarray, own_entropy: np.ndarray) -> np.ndarray:
    """Excess for band totals [..., bands]."""
    reached = own_tokens > 0
    last = np.maximum.accumulate(np.where(reached, np.arange(BANDS), 0), axis=-1)
    expected = np.take_along_axis(own_entropy / np.maximum(own_tokens, 1), last, axis=-1)
    return (surprise.sum(-1) - (tokens * expected).sum(-1)) / tokens.sum(-1)
