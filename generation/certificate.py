"""The certificate: martingale tests of whether a corpus is consistent with a declared sampling distribution.

For tokens drawn from q and any g_t chosen before x_t is seen, Σ (g_t(x_t) − E_q g_t) is a martingale, so
z = Σ (g_t(x_t) − E_q g_t)/√ΣVar_q g_t is about N(0, 1) whatever the model, and ending at end-of-text, at a length or at a
token budget keeps it so. All tests are corrected together by Holm.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generation.scoring import BOUNDARY, IMPOSSIBLE, INSIDE, TokenScores

TOLERANCE = 0.05
ALPHA = 0.001
LEAST_VARIANCE = 10.0
LEAST_RANDOMNESS = 1e-6
LEAST_DOCUMENTS = 30
MANY_CELLS = 100
NEGLIGIBLE_EFFECT = 0.01
CLOSE_IMPOSSIBLE = 1e-4
ROUNDING_RATE = 1e-5
DUPLICATE_LOG_PROB = -30.0
COPY_BETS = (0.001, 0.01, 0.1, 0.5)
PIT_EDGES = np.array([0.0, 0.01, *np.arange(1, 20) / 20, 0.99, 1.0])
CONSISTENT = "consistent with the declared sampling"
CLOSE = "close"
TOO_FEW = "too few tokens"
NOT_FROM = "not from this distribution"
NO_CERTIFICATE = "no certificate: the declared sampling has no randomness"


@dataclass
class _Sum:
    """Σ (g − E g), ΣVar g, and while ΣVar is small what an exact test of a count needs."""

    total: float = 0.0
    variance: float = 0.0
    hits: int = 0
    chances: list[np.ndarray] = field(default_factory=list)

    def add(self, difference: np.ndarray, variance: np.ndarray) -> None:
        self.total += float(difference.sum())
        self.variance += float(variance.sum())

    def add_event(self, happened: np.ndarray, chance: np.ndarray) -> None:
        chance = np.clip(chance, 0.0, 1.0)
        self.add(happened - chance, chance * (1 - chance))
        self.hits += int(happened.sum())
        if self.variance < LEAST_VARIANCE:
            self.chances.append(chance)
        else:
            self.chances.clear()


class Evidence:
    """Running sums of all tests; feed it every scored document once, in any order.

    Args:
        first_token: float64 [vocab], q(·; BOS).
        truncated: whether q truncates, so that the `support` test says something.
        population: documents among which copies were looked for.
    """

    def __init__(self, first_token: np.ndarray, truncated: bool, population: int) -> None:
        self.first_token, self.truncated, self.population = first_token, truncated, population
        self.first_counts = np.zeros(len(first_token), dtype=np.int64)
        self.tokens = self.inside = self.boundary = self.impossible = self.documents = 0
        self.surprise, self.repeat, self.eos, self.serial = _Sum(), _Sum(), _Sum(), _Sum()
        self.late = np.zeros(2)
        self.late_variance = np.zeros(3)
        self.position_sums = np.zeros(3)
        self.pit_counts = np.zeros(len(PIT_EDGES) - 1, dtype=np.int64)
        self.copy_log_wealth = np.zeros(len(COPY_BETS))
        self.copy_bets = self.copies = 0
        self.duplicates = 0
        self.least_log_prob = DUPLICATE_LOG_PROB
        self.by_document: list[np.ndarray] = []
        self.ce = self.entropy_p = 0.0

    def add(self, scores: TokenScores, pit_uniforms: np.ndarray, first_ids: np.ndarray, repeated: np.ndarray) -> None:
        """Take the scores of some documents.

        Args:
            scores: their figures.
            pit_uniforms: float64 [tokens] in [0, 1), from a generator of their own.
            first_ids: int64 [documents].
            repeated: bool [documents], whether the document is an exact copy of an earlier one.
        """
        ends = np.cumsum(scores.lengths)
        starts = ends - scores.lengths
        position = np.arange(ends[-1]) - np.repeat(starts, scores.lengths)
        inside = scores.status == INSIDE
        self.tokens += len(inside)
        self.documents += len(ends)
        self.inside += int(inside.sum())
        self.boundary += int((scores.status == BOUNDARY).sum())
        self.impossible += int((scores.status == IMPOSSIBLE).sum())
        self.ce -= float(scores.log_p.sum())
        self.entropy_p += float(scores.entropy_p.sum())
        self.first_counts += np.bincount(first_ids[inside[starts]], minlength=len(self.first_counts))

        gap = np.where(inside, scores.surprise - scores.entropy, 0.0)
        variance = np.where(inside, scores.variance, 0.0)
        self.surprise.add(gap, variance)
        self.late += [gap.sum(), (position * gap).sum()]
        self.late_variance += [variance.sum(), (position * variance).sum(), (position**2 * variance).sum()]
        self.position_sums += [inside.sum(), position[inside].sum(), (position[inside].astype(float) ** 2).sum()]
        log_prob = -np.add.reduceat(np.where(inside, scores.surprise, 0.0), starts)
        copied = log_prob[repeated & (log_prob < DUPLICATE_LOG_PROB)]
        self.duplicates += len(copied)
        self.least_log_prob = min(self.least_log_prob, float(copied.min(initial=0.0)))
        counts = np.add.reduceat(inside.astype(float), starts)
        self.by_document.append(np.stack([np.add.reduceat(gap, starts), counts], axis=1))

        self.repeat.add_event(scores.repeated[inside], scores.repeat_mass[inside])
        self.eos.add_event(scores.is_eos[inside], scores.eos_mass[inside])
        pair = inside[1:] & inside[:-1] & (position[1:] > 0)
        previous = scores.residual[:-1][pair]
        self.serial.add(
            previous * (scores.residual - scores.residual_mean)[1:][pair],
            previous**2 * scores.residual_variance[1:][pair],
        )
        pit = np.clip(scores.above + pit_uniforms * scores.equal, 0.0, 1.0)[inside]
        self.pit_counts += np.histogram(pit, PIT_EDGES)[0]
        bet = inside & (scores.copy_log_q > -np.inf)
        gain = np.where(scores.copied[bet], np.exp(-scores.copy_log_q[bet]), 0.0)
        for place, share in enumerate(COPY_BETS):
            self.copy_log_wealth[place] += np.log1p(share * (gain - 1)).sum()
        self.copy_bets += int(bet.sum())
        self.copies += int(scores.copied[bet].sum())

    def tests(self) -> dict[str, dict[str, Any]]:
        """Every test by name: `p` (None and `left_out` where it cannot be used), `z`, `effect` and what it counted."""
        mean_position = self.position_sums[1] / max(self.position_sums[0], 1)
        spread = math.sqrt(max(self.position_sums[2] / max(self.position_sums[0], 1) - mean_position**2, 1e-12))
        late = _Sum(
            total=float(self.late[1] - mean_position * self.late[0]) / spread,
            variance=float(
                self.late_variance[2]
                - 2 * mean_position * self.late_variance[1]
                + mean_position**2 * self.late_variance[0]
            )
            / spread**2,
        )
        return {
            "support": self._support(),
            "surprise": self._martingale(self.surprise),
            "repeat": self._martingale(self.repeat),
            "eos": self._martingale(self.eos),
            "late": self._martingale(late),
            "serial": self._martingale(self.serial),
            "pit": self._pit(),
            "copy": self._copy(),
            "first_token": self._first_token(),
        }

    def _support(self) -> dict[str, Any]:
        if not self.truncated:
            return {"p": None, "left_out": "q gives every token a probability above 0"}
        from scipy.stats import binom

        p = float(binom.sf(self.impossible - 1, self.tokens, ROUNDING_RATE))
        return {"p": p, "count": self.impossible, "effect": self.impossible / max(self.tokens, 1)}

    def _martingale(self, sums: _Sum) -> dict[str, Any]:
        effect_scale = math.sqrt(max(self.inside, 1))
        if sums.variance >= LEAST_VARIANCE:
            z = sums.total / math.sqrt(sums.variance)
            return {"p": math.erfc(abs(z) / math.sqrt(2)), "z": z, "effect": abs(z) / effect_scale}
        certain = sums.variance == 0 and sums.total == 0
        if sums.chances and not certain:
            p = poisson_binomial_p(np.concatenate(sums.chances), sums.hits)
            z = sums.total / math.sqrt(sums.variance) if sums.variance > 0 else 0.0
            return {"p": p, "z": z, "effect": abs(z) / effect_scale, "exact": True, "count": sums.hits}
        return {"p": None, "left_out": f"the variance adds up to {sums.variance:.2g}, below {LEAST_VARIANCE:g}"}

    def _pit(self) -> dict[str, Any]:
        widths = np.diff(PIT_EDGES)
        if self.inside * widths.min() < 5:
            return {"p": None, "left_out": f"{self.inside} tokens; its smallest cell needs 500"}
        return _chi_square(self.pit_counts, widths * self.inside)

    def _copy(self) -> dict[str, Any]:
        top = self.copy_log_wealth.max()
        log_wealth = top + math.log(np.exp(self.copy_log_wealth - top).mean())
        p = min(1.0, math.exp(-max(log_wealth, 0.0)))
        if self.duplicates:
            pairs = self.documents * self.population
            p = min(1.0, 2 * min(p, pairs * math.exp(self.least_log_prob)))
        shares = {"count": self.copies, "bets": self.copy_bets, "duplicates": self.duplicates}
        return {"p": p, "log_e_value": log_wealth, **shares, "effect": self.copies / max(self.inside, 1)}

    def _first_token(self) -> dict[str, Any]:
        total = int(self.first_counts.sum())
        cells = pooled_cells(self.first_token * total)
        if cells is not None and cells[1] > MANY_CELLS:
            # Far out, χ² of many cells of expectation 5 rejects too often: p < 0.001 in 0.0017 of all null corpora.
            cells = pooled_cells(self.first_token * total, least=10.0)
        if cells is None:
            return {"p": None, "left_out": f"{total} documents are too few for two cells of expectation 5"}
        labels, count = cells
        observed = np.bincount(labels, weights=self.first_counts, minlength=count)
        expected = np.bincount(labels, weights=self.first_token * total, minlength=count)
        return _chi_square(observed, expected * (total / expected.sum()))


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


def _chi_square(observed: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
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


def conclude(
    evidence: Evidence, *, declared: bool, delta: float, mismatch: float | None, cap: float, seed: int
) -> dict[str, Any]:
    """The certificate from the evidence.

    Args:
        evidence: sums over all scored documents.
        declared: whether q is what the corpus declares; otherwise the interval is a bootstrap over documents, and of few
            documents, which show too little of their spread, at least as wide as the declared one.
        delta: band for rounding that was used, nats.
        mismatch: 99.9th percentile of |stored − scored log p|, None where nothing is stored.
        cap: largest δ that rounding explains; a mismatch above it decides the verdict.
        seed: of the bootstrap.
    """
    tests = evidence.tests()
    usable = {name: test["p"] for name, test in tests.items() if test["p"] is not None}
    corrected = holm(usable)
    for name, p in corrected.items():
        tests[name]["p_holm"] = p
    p_holm = min(corrected.values(), default=1.0)
    count = max(evidence.inside, 1)
    gap = evidence.surprise.total / count
    half = 1.96 * math.sqrt(evidence.surprise.variance) / count
    ci95 = [gap - half, gap + half]
    if not declared:
        low, high = _bootstrap(np.concatenate(evidence.by_document), seed)
        few = evidence.documents < LEAST_DOCUMENTS
        ci95 = [min(low, ci95[0]), max(high, ci95[1])] if few else [low, high]
    shares = {
        "impossible_share": evidence.impossible / max(evidence.tokens, 1),
        "boundary_share": evidence.boundary / max(evidence.tokens, 1),
    }
    score_mismatch = mismatch is not None and mismatch > cap
    verdict, reason = _verdict(tests, evidence.surprise.variance, gap, ci95, count, shares["impossible_share"])
    if score_mismatch:
        verdict = NOT_FROM
        reason = (
            f"stored and scored log-probabilities differ by {mismatch:.2g} nats, more than rounding ({cap:g}) explains"
        )
    surprise = tests["surprise"]
    return {
        "surprise_gap": gap,
        "ci95": ci95,
        "z": surprise.get("z"),
        "p_value": surprise["p"],
        "p_holm": p_holm,
        "tests": tests,
        **shares,
        "tokens_scored": evidence.tokens,
        "documents_scored": evidence.documents,
        "verdict": verdict,
        "reason": reason,
        "interval_from": "declared variance" if declared else "bootstrap over documents",
        "delta": delta,
        "score_mismatch": mismatch,
        "ce": evidence.ce / max(evidence.tokens, 1),
        "entropy": evidence.entropy_p / max(evidence.tokens, 1),
        "pit_edges": PIT_EDGES.tolist(),
        "pit_counts": evidence.pit_counts.tolist(),
    }


def _verdict(
    tests: dict[str, dict[str, Any]],
    variance: float,
    gap: float,
    ci95: list[float],
    count: int,
    impossible: float,
) -> tuple[str, str]:
    inside = ci95[0] > -TOLERANCE and ci95[1] < TOLERANCE
    rejecting = [name for name, test in tests.items() if test.get("p_holm", 1.0) < ALPHA]
    if not rejecting:
        if variance < LEAST_RANDOMNESS * count:
            return NO_CERTIFICATE, "the surprise of the tokens has no variance, so there is nothing to test"
        if inside and variance >= LEAST_VARIANCE:
            return CONSISTENT, f"no test rejects and the surprise gap lies within ±{TOLERANCE:g} nats"
        half, room = (ci95[1] - ci95[0]) / 2, max(TOLERANCE - abs(gap), 0.2 * TOLERANCE)
        needed = math.ceil(count * max((half / room) ** 2, LEAST_VARIANCE / variance) / 1000) * 1000
        why = "the surprise varies too little to be tested" if inside else "the interval is too wide"
        return TOO_FEW, f"no test rejects, but {why}; about {needed:,} tokens would do"
    named = ", ".join(rejecting)
    small = all(tests[name].get("effect", 1.0) <= NEGLIGIBLE_EFFECT for name in rejecting)
    if inside and impossible < CLOSE_IMPOSSIBLE and small and not {"support", "copy"} & set(rejecting):
        largest = max(tests[name]["effect"] for name in rejecting)
        return (
            CLOSE,
            f"{named} reject, with an effect of at most {largest:.2g} (negligible below {NEGLIGIBLE_EFFECT:g})",
        )
    return NOT_FROM, f"rejected by {named}"


def _bootstrap(by_document: np.ndarray, seed: int, draws: int = 1000) -> list[float]:
    """Percentile interval of Σ gap/Σ tokens, documents drawn with replacement."""
    generator = np.random.default_rng(seed)
    count = len(by_document)
    means = np.empty(draws)
    for draw in range(draws):
        gap, tokens = by_document[generator.integers(0, count, count)].sum(axis=0)
        means[draw] = gap / max(tokens, 1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(low), float(high)]


__all__ = ["Evidence", "conclude", "holm", "poisson_binomial_p", "pooled_cells"]
