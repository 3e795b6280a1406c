"""The certificate: martingale tests of whether a corpus is consistent with a declared sampling distribution.

For tokens drawn from q and any g_t chosen before x_t is seen, Σ (g_t(x_t) − E_q g_t) is a martingale, so
z = Σ (g_t(x_t) − E_q g_t)/√ΣVar_q g_t is about N(0, 1) whatever the model, and ending at end-of-text, at a length or at a
token budget keeps it so. All tests are corrected together by Holm.
"""

import math
from statistics import NormalDist

import numpy as np

from faithful.store.manifest_parts import Certificate, TestPart
from generation.certificate.evidence import LEAST_VARIANCE, PIT_EDGES, Evidence
from generation.certificate.p_values import holm

TOLERANCE = 0.05
ALPHA = 0.001
LEAST_RANDOMNESS = 1e-6
LEAST_DOCUMENTS = 150
NEGLIGIBLE_EFFECT = 0.01
CLOSE_IMPOSSIBLE = 1e-4
CONSISTENT = "consistent with the declared sampling"
CLOSE = "close"
TOO_FEW = "too few tokens"
NOT_FROM = "not from this distribution"
NO_CERTIFICATE = "no certificate: the declared sampling has no randomness"


def conclude(
    evidence: Evidence, *, declared: bool, delta: float, mismatch: float | None, cap: float, seed: int
) -> Certificate:
    """The certificate from the evidence.

    Args:
        evidence: sums over all scored documents.
        declared: whether q is what the corpus declares; otherwise the interval is a bootstrap over documents, and of fewer
            than 150, which show too little of their spread, its union with the declared one.
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
        ci95 = [min(low, ci95[0]), max(high, ci95[1])] if evidence.documents < LEAST_DOCUMENTS else [low, high]
    impossible_share = evidence.impossible / max(evidence.tokens, 1)
    score_mismatch = mismatch is not None and mismatch > cap
    verdict, reason = _verdict(tests, evidence.surprise.variance, gap, ci95, count, impossible_share)
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
        "impossible_share": impossible_share,
        "boundary_share": evidence.boundary / max(evidence.tokens, 1),
        "tokens_scored": evidence.tokens,
        "documents_scored": evidence.documents,
        "verdict": verdict,
        "reason": reason,
        "interval_from": _interval_from(evidence.documents, declared),
        "delta": delta,
        "score_mismatch": mismatch,
        "ce": evidence.ce / max(evidence.tokens, 1),
        "entropy": evidence.entropy_p / max(evidence.tokens, 1),
        "pit_edges": PIT_EDGES.tolist(),
        "pit_counts": evidence.pit_counts.tolist(),
    }


def _verdict(
    tests: dict[str, TestPart],
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
        why = "the surprise varies too little to be tested" if inside else "the interval is too wide or off the middle"
        half = max(ci95[1] - gap, gap - ci95[0])
        usable = sum(test["p"] is not None for test in tests.values())
        needed = max(tokens_needed(half, variance, count, usable), count * LEAST_VARIANCE / variance)
        return TOO_FEW, f"no test rejects, but {why}; about {math.ceil(needed / 1000) * 1000:,} tokens would do"
    named = ", ".join(rejecting)
    small = all(tests[name].get("effect", 1.0) <= NEGLIGIBLE_EFFECT for name in rejecting)
    if inside and impossible < CLOSE_IMPOSSIBLE and small and not {"support", "copy"} & set(rejecting):
        largest = max(tests[name]["effect"] for name in rejecting)
        return (
            CLOSE,
            f"{named} reject, with an effect of at most {largest:.2g} (negligible below {NEGLIGIBLE_EFFECT:g})",
        )
    return NOT_FROM, f"rejected by {named}"


def tokens_needed(half: float, variance: float, count: int, tests: int) -> float:
    """With how many tokens there is a verdict other than `too few tokens`, whatever the true gap is.

    At N tokens the interval fits into the tolerance up to a gap of tolerance − half·√(n/N), and `surprise` rejects from a
    gap of z·√(variance/nN) on: between them nothing is decided, and from this N on nothing lies between them.

    Args:
        half: half width of the present interval, nats.
        variance: ΣVar of the surprise under q.
        count: tokens that these rest on, n.
        tests: how many the correction counts.
    """
    reject = NormalDist().inv_cdf(1 - ALPHA / max(tests, 1) / 2)
    return ((reject * math.sqrt(variance / count) + half * math.sqrt(count)) / TOLERANCE) ** 2


def _interval_from(documents: int, declared: bool) -> str:
    """What the interval rests on, in words."""
    if declared:
        return "declared variance"
    few = f", and the declared variance: there are fewer than {LEAST_DOCUMENTS} documents"
    return "bootstrap over documents" + (few if documents < LEAST_DOCUMENTS else "")


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
