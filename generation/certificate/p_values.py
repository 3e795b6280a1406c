"""P-values of the certificate's tests, each of them exact or judged by simulation, and their correction together."""

import numpy as np

from faithful.store.manifest_parts import TestPart

MANY_CELLS = 100


def first_token_p(counts: np.ndarray, q: np.ndarray) -> TestPart:
    """χ² of first tokens against q(·; BOS), or why it is left out.

    Args:
        counts: int64 [vocab], documents that begin with each id.
        q: float64 [vocab].
    """
    total = int(counts.sum())
    cells = pooled_cells(q * total)
    if cells is not None and cells[1] > MANY_CELLS:
        # Far out, χ² of many cells of expectation 5 rejects too often: p < 0.001 in 0.0017 of all null corpora.
        cells = pooled_cells(q * total, least=10.0)
    if cells is None:
        return {"p": None, "left_out": f"{total} documents are too few for two cells of expectation 5"}
    labels, count = cells
    observed = np.bincount(labels, weights=counts, minlength=count)
    expected = np.bincount(labels, weights=q * total, minlength=count)
    return chi_square(observed, expected * (total / expected.sum()))


def pooled_cells(expected: np.ndarray, least: float = 5.0) -> tuple[np.ndarray, int] | None:
    """Group outcomes, most probable first, into cells of expectation ≥ `least`.

    Returns:
        Cell of each outcome and number of cells; None when fewer than two cells come out.
    """
    order = np.argsort(-expected, kind="stable")
    labels = np.zeros(len(expected), dtype=np.int64)
    cell, mass = 0, 0.0
    for outcome in order:
        labels[outcome] = cell
        mass += expected[outcome]
        if mass >= least:
            cell, mass = cell + 1, 0.0
    labels[labels == cell] = max(cell - 1, 0)
    return (labels, cell) if cell >= 2 else None


def poisson_binomial_p(chances: np.ndarray, hits: int) -> float:
    """Two-sided exact p of `hits` events with the given chances: min(1, 2·min(P(X ≤ hits), P(X ≥ hits)))."""
    likely = chances > 0.5
    flipped = np.where(likely, 1 - chances, chances)
    sure = int(likely.sum())
    width = int(min(len(chances), max(4 * flipped.sum() + 60, abs(hits - sure) + 60))) + 1
    # P(X = k) of the rare side, events and non-events apart: two short convolutions.
    up, down = _pmf(flipped[~likely], width), _pmf(flipped[likely], width)
    pmf = np.convolve(up, down[::-1])
    value = hits - sure + len(down) - 1
    below = float(pmf[: max(value + 1, 0)].sum())
    above = float(pmf[max(value, 0) :].sum())
    return min(1.0, 2 * min(below, above))


def _pmf(chances: np.ndarray, width: int) -> np.ndarray:
    """P(k events) for k < width, of independent rare events (truncated where the mass is negligible)."""
    pmf = np.zeros(min(len(chances), width) + 1)
    pmf[0] = 1.0
    for chance in chances[chances > 0]:
        pmf[1:] = pmf[1:] * (1 - chance) + pmf[:-1] * chance
        pmf[0] *= 1 - chance
    return pmf


def chi_square(observed: np.ndarray, expected: np.ndarray) -> TestPart:
    """Pearson's χ² with one degree of freedom fewer than cells, float64 [cells] each; the effect is the total variation."""
    from scipy.stats import chi2

    statistic = float(((observed - expected) ** 2 / expected).sum())
    distance = 0.5 * float(np.abs(observed - expected).sum()) / max(float(expected.sum()), 1)
    freedom = len(expected) - 1
    return {"p": float(chi2.sf(statistic, freedom)), "chi2": statistic, "df": freedom, "effect": distance}


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's corrected p-values."""
    corrected: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - rank) * p))
        corrected[name] = running
    return corrected
