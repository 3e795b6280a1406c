"""How far two discrete distributions lie apart, in nats: first tokens and unigrams of docs/metrics.md, "Corpus"."""

from dataclasses import dataclass

import numpy as np

from generation.certificate.p_values import pooled_cells
from generation.sampling.seeds import sample_seed

SMOOTHING = 0.5
MAX_FLOOR_BLOCKS = 20
SIMULATIONS = 200


@dataclass(frozen=True)
class FirstToken:
    """Empirical first tokens p̂ of N documents against q(·; BOS), in nats.

    The KL divergences are over cells of expectation ≥ 5: more documents make finer cells, which show more of a difference,
    so compare those of about equally many documents. The Jensen–Shannon divergence is over all ids, whatever N is; fewer
    documents raise it and its floor alike.

    Attributes:
        kl: KL(p̂ ‖ q) less its bias under p̂ ~ q, (cells − 1)/2N; may be slightly below 0. None where N is too small for
            two cells.
        kl_reverse: KL(q ‖ p̂) with half a count added to each cell of p̂, less the same bias; None likewise.
        js: Jensen–Shannon divergence, at most ln 2.
        js_floor: what N first tokens drawn from q give for it: its mean over `SIMULATIONS` draws.
        cells: number of cells, 0 where there are none.
    """

    kl: float | None
    kl_reverse: float | None
    js: float
    js_floor: float
    cells: int


def first_token_divergences(counts: np.ndarray, q: np.ndarray, seed: int = 0) -> FirstToken:
    """Divergences of the first tokens of at least one document.

    Args:
        counts: int64 [vocab], documents that begin with each id.
        q: float64 [vocab], q(·; BOS).
        seed: of the draws behind the floor.
    """
    total = int(counts.sum())
    exact = q / q.sum()
    divergence, floor = js(counts / total, exact), _first_token_floor(exact, total, seed)
    cells = pooled_cells(q * total)
    if cells is None:
        return FirstToken(None, None, divergence, floor, 0)
    labels, number = cells
    observed = np.bincount(labels, weights=counts, minlength=number)
    mass = np.bincount(labels, weights=q, minlength=number)
    expected = mass / mass.sum()
    empirical = observed / total
    smoothed = (observed + SMOOTHING) / (total + SMOOTHING * number)
    bias = (number - 1) / (2 * total)
    return FirstToken(
        kl=kl(empirical, expected) - bias,
        kl_reverse=kl(expected, smoothed) - bias,
        js=divergence,
        js_floor=floor,
        cells=number,
    )


def _first_token_floor(q: np.ndarray, documents: int, seed: int) -> float:
    """Mean Jensen–Shannon divergence between q and as many first tokens drawn from it, float64 [vocab]."""
    generator = np.random.default_rng(sample_seed(seed, "first tokens", 0))
    edges = np.cumsum(q)
    values = []
    for _ in range(SIMULATIONS):
        drawn = np.searchsorted(edges, generator.random(documents) * edges[-1], side="right")
        values.append(js(np.bincount(drawn, minlength=len(q)) / documents, q))
    return float(np.mean(values))


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p ‖ q) of two distributions, float64 [cells]; infinite where q is 0 and p is not."""
    seen = p > 0
    with np.errstate(divide="ignore"):
        return float((p[seen] * (np.log(p[seen]) - np.log(q[seen]))).sum())


def js(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen–Shannon divergence of two distributions, float64 [cells] (Lin 1991); 0 to ln 2."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def unigram_js(tokens: np.ndarray, own: np.ndarray, vocab_size: int) -> float:
    """Jensen–Shannon divergence of the unigrams of two token sequences; compare it at equal lengths only.

    Args:
        tokens, own: int64 [tokens].
        vocab_size: number of ids.
    """
    p, q = (np.bincount(part, minlength=vocab_size) / len(part) for part in (tokens, own))
    return js(p, q)


def unigram_floor(train: np.ndarray, own: np.ndarray, vocab_size: int) -> tuple[float, float]:
    """What `unigram_js` gives for the model against itself: mean and largest over disjoint blocks of its own corpus.

    Args:
        train: int64 [tokens] of the model's own training split, cut into blocks as long as `own` (at most 20).
        own: int64 [tokens] of its held-out split.
        vocab_size: number of ids.
    """
    size = min(len(own), len(train))
    blocks = min(MAX_FLOOR_BLOCKS, len(train) // size)
    values = [unigram_js(train[i * size : (i + 1) * size], own[:size], vocab_size) for i in range(blocks)]
    return float(np.mean(values)), float(np.max(values))
