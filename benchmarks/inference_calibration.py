"""Calibration of the studies' intervals and verdicts: `python -m benchmarks.inference_calibration [--simulations 20000]`.

Figures of two corpora are simulated with seed effects and pair noise in the ratios (of variances) 1:0, 1:1, 1:4 and 0:1, for
3 to 8 seeds, and go through the same functions as those of a study: per seed, pairs within two corpora, ordered pairs across
corpora, and families of 3, 6 and 12 headline contrasts that share the own corpus. The effects of a seed in two corpora
correlate, as those of one init do. Asked for: rejections under the null at most 6 % at 5 %, 1.5 % at 1 % and 0.2 % at 0.1 %,
at most 6 % of families with any rejection at 5 %, 95 % intervals that cover at least 93 %, planted effects found; verdicts
rest on that, and need 6 seeds. With fewer there are intervals alone. Where there is pair noise alone they cover 99 % and
more: too wide rather than too narrow. Columns `n−1`: what rejects at 5 % when the degrees of freedom are n − 1 for pairs
throughout; `old`: what rejects at 0.1 % when they are n(n − 3)/2 where σ²_seed is floored. About four minutes on one core;
one line per row in `benchmarks/results/inference_calibration.jsonl`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, write_unit
from generation.certificate.p_values import holm
from studies.statistics.components import Mean, PairMean, mean_of_pairs, mean_of_seeds, sign_flip_p

RATIOS = {"1:0": (1.0, 0.0), "1:1": (1.0, 1.0), "1:4": (1.0, 4.0), "0:1": (0.0, 1.0)}
SEEDS = (3, 4, 5, 6, 8)
FOR_VERDICTS = (6, 8)
SHARED_INIT = 0.5
DIRECTIONS = 0.5
PLANTED = 3.0
ALPHA = 0.05
LEVELS = {0.05: 0.06, 0.01: 0.015, 0.001: 0.002}
"""Levels that rejections are judged at, with the share that is asked for at most."""
FAMILIES = (3, 6, 12)
COVERED = 0.93

Design = Callable[[np.random.Generator, int, int, float, float], tuple[np.ndarray, float]]


def per_seed(rng: np.random.Generator, count: int, n: int, seed: float, noise: float) -> tuple[np.ndarray, float]:
    """Differences of two figures per seed, [count, n], and the true variance of their mean."""
    one, other = _two_effects(rng, count, n, seed)
    x = one - other + np.sqrt(noise) * rng.standard_normal((count, n))
    return x, (2 * seed * (1 - SHARED_INIT) + noise) / n


def within(rng: np.random.Generator, count: int, n: int, seed: float, pair: float) -> tuple[np.ndarray, float]:
    """Differences of pairs within two corpora, [count, n, n], and the true variance of their mean."""
    one, other = _two_effects(rng, count, n, seed)
    x = _sums(one) + _symmetric(rng, count, n, pair / 2) - _sums(other) - _symmetric(rng, count, n, pair / 2)
    return x, 4 * (2 * seed * (1 - SHARED_INIT)) / n + 2 * pair / (n * (n - 1))


def across(rng: np.random.Generator, count: int, n: int, seed: float, pair: float) -> tuple[np.ndarray, float]:
    """Ordered pairs (A's seed, B's seed), both directions averaged, [count, n, n]; those directions correlate."""
    one, other = _two_effects(rng, count, n, seed)
    shared = _symmetric(rng, count, n, pair * DIRECTIONS)
    y = one[:, :, None] + other[:, None, :] + shared
    y = y + np.sqrt(pair * (1 - DIRECTIONS)) * rng.standard_normal((count, n, n))
    variance = 2 * seed * (1 + SHARED_INIT) / n + 2 * pair * (1 + DIRECTIONS) / 2 / (n * (n - 1))
    return (y + y.transpose(0, 2, 1)) / 2, variance


DESIGNS: dict[str, tuple[Design, Callable[[np.ndarray], Mean]]] = {
    "per seed": (per_seed, mean_of_seeds),
    "pairs within, a − b": (within, mean_of_pairs),
    "ordered pairs across": (across, mean_of_pairs),
}


@dataclass(frozen=True)
class Inference:
    """What came out of each simulation, float64 [count]: mean, standard error, p of t."""

    mean: Mean
    reach: np.ndarray
    p: np.ndarray

    def covers(self, truth: float, error: np.ndarray) -> float:
        """Share of intervals that hold the truth."""
        return float((np.abs(self.mean.value - truth) <= self.reach * error).mean())


def infer(x: np.ndarray, mean_of: Callable[[np.ndarray], Mean]) -> Inference:
    """The mean of each simulation with its t test."""
    from scipy.special import stdtr, stdtrit

    mean = mean_of(x)
    p = 2 * stdtr(mean.freedom, -np.abs(mean.value) / mean.error)
    return Inference(mean, stdtrit(mean.freedom, 1 - ALPHA / 2), p)


def rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """One row per design, ratio and number of seeds."""
    from scipy.special import stdtr

    for name, (design, mean_of) in DESIGNS.items():
        for ratio, (seeds_part, noise) in RATIOS.items():
            for n in SEEDS:
                rng = np.random.default_rng([seed, list(DESIGNS).index(name), list(RATIOS).index(ratio), n])
                x, variance = design(rng, count, n, seeds_part, noise)
                effect = PLANTED * np.sqrt(variance)
                null, planted = infer(x, mean_of), infer(x + effect, mean_of)
                flips = np.array([sign_flip_p(one) for one in null.mean.pseudo])
                t = np.abs(null.mean.value) / null.mean.error
                yield {
                    "design": name,
                    "ratio": ratio,
                    "seeds": n,
                    "simulations": count,
                    "rejected_plain": float((2 * stdtr(n - 1, -t) < ALPHA).mean()),
                    "rejected_old": float((2 * stdtr(_freedom_before(null.mean), -t) < min(LEVELS)).mean()),
                    "rejected": {str(level): float((null.p < level).mean()) for level in LEVELS},
                    "covered": null.covers(0.0, null.mean.error),
                    "covered_jackknife": null.covers(0.0, null.mean.jackknife),
                    "sign_flip_rejected": float((flips <= ALPHA).mean()),
                    "variance_ratio": float((null.mean.error**2).mean() / variance),
                    "planted_covered": planted.covers(effect, planted.mean.error),
                    "planted_found": float(planted.mean.value.mean() / effect),
                    "power": float((planted.p < ALPHA).mean()),
                }


def family_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Own against 3, 6 and 12 others, no difference anywhere: how often Holm lets at least one through, with the degrees of
    freedom as they are and as they were, and how often a difference that is exactly the margin is called not relevant, where
    the margin is four standard errors."""
    from scipy.special import stdtr

    for ratio, (seeds_part, noise) in RATIOS.items():
        for n in FOR_VERDICTS:
            rng = np.random.default_rng([seed, 99, list(RATIOS).index(ratio), n])

            def corpus(rng: np.random.Generator, n: int, seeds_part: float, noise: float) -> np.ndarray:
                return _sums(np.sqrt(seeds_part) * rng.standard_normal((count, n))) + _symmetric(rng, count, n, noise)

            own = corpus(rng, n, seeds_part, noise)
            contrasts = [infer(own - corpus(rng, n, seeds_part, noise), mean_of_pairs) for _ in range(max(FAMILIES))]
            p = np.array([one.p for one in contrasts])
            before = [
                2 * stdtr(_freedom_before(one.mean), -np.abs(one.mean.value) / one.mean.error) for one in contrasts
            ]
            margin = 4 * np.sqrt(8 * seeds_part / n + 4 * noise / (n * (n - 1)))
            first = contrasts[0]
            half = first.reach * first.mean.error
            inside = (np.abs(first.mean.value + margin) + half <= margin) & (
                first.mean.value + margin - half >= -margin
            )
            equal = np.abs(first.mean.value) + half <= margin
            yield {
                "design": "families",
                "ratio": ratio,
                "seeds": n,
                "simulations": count,
                "any_rejected": {str(size): _any_rejected(p[:size]) for size in FAMILIES},
                "any_rejected_old": {str(size): _any_rejected(np.array(before[:size])) for size in FAMILIES},
                "called_same_at_margin": float(inside.mean()),
                "called_same_at_0": float(equal.mean()),
            }


def _any_rejected(p: np.ndarray) -> float:
    """Share of families, p [size, count], of which Holm rejects at least one at 5 %."""
    corrected = (holm({str(place): float(one) for place, one in enumerate(of_one)}) for of_one in p.T)
    return float(np.mean([min(of_one.values()) < ALPHA for of_one in corrected]))


def _freedom_before(mean: Mean) -> np.ndarray:
    """Degrees of freedom as they were: n(n − 3)/2 where σ²_seed is floored."""
    if not isinstance(mean, PairMean):
        return mean.freedom
    n = mean.pseudo.shape[-1]
    return np.where(mean.seed_variance > 0, mean.freedom, max(n * (n - 3) / 2, n - 1))


def report(units: list[dict[str, Any]]) -> None:
    """Print the tables."""
    asked = ", ".join(f"{most:g} at {level:g}" for level, most in LEVELS.items())
    print(f"\nasked: rejected at most {asked}; covered at least {COVERED:g}; planted: 3 standard errors")
    heads = (*(f"p < {level:g}" for level in LEVELS), "cover", "jackkn.", "flip rej.", "variance")
    heads += ("pl. cover", "pl. found", "power", "n−1", "old")
    names = (
        "covered", "covered_jackknife", "sign_flip_rejected", "variance_ratio", "planted_covered", "planted_found",
        "power", "rejected_plain", "rejected_old",
    )  # fmt: skip
    print(f"{'design':22} {'ratio':5} {'seeds':5} " + " ".join(f"{head:>9}" for head in heads))
    for unit in units:
        if "rejected" in unit:
            rejected = [unit["rejected"][str(level)] for level in LEVELS]
            figures = " ".join(f"{one:9.4f}" for one in (*rejected, *(unit[name] for name in names)))
            fine = unit["covered"] >= COVERED and all(
                one <= most for one, most in zip(rejected, LEVELS.values(), strict=True)
            )
            print(f"{unit['design']:22} {unit['ratio']:5} {unit['seeds']:5} {figures}{'' if fine else '  outside'}")
    print("\nfamilies of contrasts with one own corpus, any rejected (as it was); margin: 4 standard errors")
    sizes = " ".join(f"{f'of {size}':>15}" for size in FAMILIES)
    print(f"{'ratio':5} {'seeds':5} {sizes} {'same at margin':>14} {'same at 0':>9}")
    for unit in units:
        if "any_rejected" in unit:
            now, before = unit["any_rejected"], unit["any_rejected_old"]
            shares = " ".join(f"{now[size]:6.4f} ({before[size]:.4f})" for size in map(str, FAMILIES))
            shares += f" {unit['called_same_at_margin']:14.4f} {unit['called_same_at_0']:9.4f}"
            fine = max(now.values()) <= LEVELS[ALPHA]
            print(f"{unit['ratio']:5} {unit['seeds']:5} {shares}{'' if fine else '  outside'}")


def _two_effects(rng: np.random.Generator, count: int, n: int, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Effects of the same seeds in two corpora, which correlate."""
    shared, one, other = np.sqrt(variance) * rng.standard_normal((3, count, n))
    common = np.sqrt(SHARED_INIT) * shared
    return common + np.sqrt(1 - SHARED_INIT) * one, common + np.sqrt(1 - SHARED_INIT) * other


def _sums(effects: np.ndarray) -> np.ndarray:
    return effects[:, :, None] + effects[:, None, :]


def _symmetric(rng: np.random.Generator, count: int, n: int, variance: float) -> np.ndarray:
    """Noise of unordered pairs, [count, n, n]."""
    noise = np.sqrt(variance) * np.triu(rng.standard_normal((count, n, n)), 1)
    return noise + noise.transpose(0, 2, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS / "inference_calibration.jsonl")
    args = parser.parse_args()
    print(machine())
    args.results.unlink(missing_ok=True)
    units = [*rows(args.simulations, args.seed), *family_rows(args.simulations, args.seed)]
    for unit in units:
        write_unit(args.results, unit)
    report(units)


if __name__ == "__main__":
    main()
