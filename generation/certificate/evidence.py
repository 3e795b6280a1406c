"""The evidence of the certificate: sums over scored documents, and the tests that they give."""

import math
from dataclasses import dataclass, field

import numpy as np

from faithful.store.manifest_parts import TestPart
from generation.certificate.p_values import chi_square, first_token_p, poisson_binomial_p
from generation.scoring.scorer import BOUNDARY, IMPOSSIBLE, INSIDE, TokenScores

LEAST_VARIANCE = 10.0
ROUNDING_RATE = 1e-5
DUPLICATE_LOG_PROB = -30.0
COPY_BETS = (0.001, 0.01, 0.1, 0.5)
PIT_EDGES = np.array([0.0, 0.01, *np.arange(1, 20) / 20, 0.99, 1.0])
_COUNTS = ("tokens", "inside", "boundary", "impossible", "documents", "copy_bets", "copies", "duplicates")
_ARRAYS = ("late", "late_variance", "position_sums", "first_counts", "pit_counts", "copy_log_wealth", "ce", "entropy_p")
_SUMS = ("surprise", "repeat", "eos", "serial")


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

    def merge(self, sums: np.ndarray, chances: np.ndarray) -> None:
        """Take the sums of other documents: [total, variance, hits], and their chances as far as they are kept."""
        self.total += float(sums[0])
        self.variance += float(sums[1])
        self.hits += int(sums[2])
        self._keep(chances)

    def add_event(self, happened: np.ndarray, chance: np.ndarray) -> None:
        chance = np.clip(chance, 0.0, 1.0)
        self.add(happened - chance, chance * (1 - chance))
        self.hits += int(happened.sum())
        self._keep(chance)

    def _keep(self, chances: np.ndarray) -> None:
        if self.variance < LEAST_VARIANCE:
            self.chances.append(chances)
        else:
            self.chances.clear()


class Evidence:
    """Running sums of all tests; feed it every scored document once, in any order, or merge the sums of some.

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

    def sums(self) -> dict[str, np.ndarray]:
        """Everything but what it was made with, as arrays: `merge` takes it back."""
        sums = {name: np.array(getattr(self, name)) for name in (*_COUNTS, *_ARRAYS, "least_log_prob")}
        for name in _SUMS:
            running: _Sum = getattr(self, name)
            sums[name] = np.array([running.total, running.variance, running.hits])
            sums[f"{name}_chances"] = np.concatenate([np.empty(0), *running.chances])
        return sums | {"by_document": np.concatenate([np.empty((0, 2)), *self.by_document])}

    def merge(self, sums: dict[str, np.ndarray]) -> None:
        """Take the `sums` of other documents."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + int(sums[name]))
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name) + sums[name])
        for name in _SUMS:
            getattr(self, name).merge(sums[name], sums[f"{name}_chances"])
        self.least_log_prob = min(self.least_log_prob, float(sums["least_log_prob"]))
        self.by_document.append(sums["by_document"])

    def tests(self) -> dict[str, TestPart]:
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
            "first_token": first_token_p(self.first_counts, self.first_token),
        }

    def _support(self) -> TestPart:
        if not self.truncated:
            return {"p": None, "left_out": "q gives every token a probability above 0"}
        from scipy.stats import binom

        p = float(binom.sf(self.impossible - 1, self.tokens, ROUNDING_RATE))
        return {"p": p, "count": self.impossible, "effect": self.impossible / max(self.tokens, 1)}

    def _martingale(self, sums: _Sum) -> TestPart:
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

    def _pit(self) -> TestPart:
        widths = np.diff(PIT_EDGES)
        if self.inside * widths.min() < 5:
            return {"p": None, "left_out": f"{self.inside} tokens; its smallest cell needs 500"}
        return chi_square(self.pit_counts, widths * self.inside)

    def _copy(self) -> TestPart:
        top = self.copy_log_wealth.max()
        log_wealth = top + math.log(np.exp(self.copy_log_wealth - top).mean())
        p = min(1.0, math.exp(-max(log_wealth, 0.0)))
        if self.duplicates:
            pairs = self.documents * self.population
            p = min(1.0, 2 * min(p, pairs * math.exp(self.least_log_prob)))
        return {
            "p": p,
            "log_e_value": log_wealth,
            "count": self.copies,
            "bets": self.copy_bets,
            "duplicates": self.duplicates,
            "effect": self.copies / max(self.inside, 1),
        }
