"""Calibration of the studies' intervals and verdicts: `python -m benchmarks.inference_calibration [--simulations 20000]`.

Figures of two corpora are simulated with seed effects and pair noise in the ratios (of variances) 1:0, 1:1, 1:4 and 0:1, for
3 to 8 seeds, and go through the same functions as those of a study: per seed, pairs within two corpora, ordered pairs across
corpora, and a family of three headline contrasts that share the own corpus. The effects of a seed in two corpora correlate,
as those of one init do. Asked for: rejections under the null at most 1 point above 5 %, 95 % intervals that cover 93 to 99 %,
planted effects found; verdicts rest on that, and need 6 seeds. With fewer there are intervals alone, and with four those of
pair noise alone cover more than 99 %: too wide rather than too narrow. The column `n−1 df` is what rejects when the degrees
of freedom are n − 1 for pairs too. About two minutes on one core; one line per row in
`benchmarks/results/inference_calibration.jsonl`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared import RESULTS, machine, write_unit
from generation.certificate import holm
from studies.components import Mean, mean_of_pairs, mean_of_seeds, sign_flip_p

RATIOS = {"1:0": (1.0, 0.0), "1:1": (1.0, 1.0), "1:4": (1.0, 4.0), "0:1": (0.0, 1.0)}
SEEDS = (3, 4, 5, 6, 8)
FOR_VERDICTS = (6, 8)
SHARED_INIT = 0.5
DIRECTIONS = 0.5
PLANTED = 3.0
ALPHA, FAMILY = 0.05, 3

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
                    "rejected": float((null.p < ALPHA).mean()),
                    "covered": null.covers(0.0, null.mean.error),
                    "covered_jackknife": null.covers(0.0, null.mean.jackknife),
                    "sign_flip_rejected": float((flips <= ALPHA).mean()),
                    "variance_ratio": float((null.mean.error**2).mean() / variance),
                    "planted_covered": planted.covers(effect, planted.mean.error),
                    "planted_found": float(planted.mean.value.mean() / effect),
                    "power": float((planted.p < ALPHA).mean()),
                }


def family_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Own against three others, no difference anywhere: how often Holm lets at least one through, and how often a
    difference that is exactly the margin is called not relevant, where the margin is four standard errors."""
    for ratio, (seeds_part, noise) in RATIOS.items():
        for n in FOR_VERDICTS:
            rng = np.random.default_rng([seed, 99, list(RATIOS).index(ratio), n])
            own = _sums(np.sqrt(seeds_part) * rng.standard_normal((count, n))) + _symmetric(rng, count, n, noise)
            contrasts = []
            for _ in range(FAMILY):
                other = _sums(np.sqrt(seeds_part) * rng.standard_normal((count, n))) + _symmetric(rng, count, n, noise)
                contrasts.append(infer(own - other, mean_of_pairs))
            corrected = [holm({str(i): float(one.p[j]) for i, one in enumerate(contrasts)}) for j in range(count)]
            margin = 4 * np.sqrt(8 * seeds_part / n + 4 * noise / (n * (n - 1)))
            first = contrasts[0]
            half = first.reach * first.mean.error
            inside = (np.abs(first.mean.value + margin) + half <= margin) & (
                first.mean.value + margin - half >= -margin
            )
            equal = np.abs(first.mean.value) + half <= margin
            yield {
                "design": "family of 3",
                "ratio": ratio,
                "seeds": n,
                "simulations": count,
                "any_rejected": float(np.mean([min(one.values()) < ALPHA for one in corrected])),
                "called_same_at_margin": float(inside.mean()),
                "called_same_at_0": float(equal.mean()),
            }


def report(units: list[dict[str, Any]]) -> None:
    """Print the tables."""
    print("\nasked: rejected ≤ .060, covered .930 to .990; variance: mean estimate / truth; planted: 3 standard errors")
    heads = ("reject", "cover", "jackkn.", "flip rej.", "variance", "pl. cover", "pl. found", "power", "n−1 df")
    names = (
        "rejected", "covered", "covered_jackknife", "sign_flip_rejected", "variance_ratio", "planted_covered",
        "planted_found", "power", "rejected_plain",
    )  # fmt: skip
    print(f"{'design':22} {'ratio':5} {'seeds':5} " + " ".join(f"{head:>9}" for head in heads))
    for unit in units:
        if "rejected" in unit:
            figures = " ".join(f"{unit[name]:9.4f}" for name in names)
            fine = unit["rejected"] <= ALPHA + 0.01 and 0.93 <= unit["covered"] <= 0.99
            print(f"{unit['design']:22} {unit['ratio']:5} {unit['seeds']:5} {figures}{'' if fine else '  outside'}")
    print("\nfamily of 3 contrasts with one own corpus; margin: 4 standard errors")
    print(f"{'ratio':5} {'seeds':5} {'any rejected':>12} {'same at margin':>14} {'same at 0':>9}")
    for unit in units:
        if "any_rejected" in unit:
            shares = (
                f"{unit['any_rejected']:12.4f} {unit['called_same_at_margin']:14.4f} {unit['called_same_at_0']:9.4f}"
            )
            print(f"{unit['ratio']:5} {unit['seeds']:5} {shares}")


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
