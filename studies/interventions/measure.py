"""SCR and TPP (Karvonen et al. 2024) as SAEBench 0.6.0 has them, on activations and codes pooled over the tokens of texts.

Pooling is a mean, so that taking latents out of every token takes Σ f̄_j w_j off the pooled activation; what the SAE does not
explain stays. Two things are ours: probes are L2 logistic regressions with C by cross-validation (SAEBench: Adam with an L1
penalty), and a score whose denominator is below 0.001 is none (SAEBench: 0).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.probes.fit import Probe, fit_cross_validated, spread_folds

FOLDS = 4
LEAST_GAP = 1e-3
Ranking = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Part:
    """Texts whose probes are asked: places of the training and of the test texts, and the class of each text, 0 or 1."""

    train: np.ndarray
    test: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Trained:
    """Probes on the activations, one per label or class, with their accuracies on the test texts as they are."""

    parts: tuple[Part, ...]
    probes: tuple[Probe, ...]
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class Read:
    """What an SAE makes of the texts: codes [texts, d_sae] (dense or sparse), decoder rows float64 [d_sae, d_in]."""

    codes: Any
    decoder: np.ndarray


def trained(h: np.ndarray, parts: Sequence[Part], seed: int) -> Trained:
    """A probe for each part, trained on its training texts' activations [texts, d_in]."""
    probes = tuple(_fit(h, part.train, part.y, seed) for part in parts)
    right = (accuracy(probe, h[part.test], part.y[part.test]) for probe, part in zip(probes, parts, strict=True))
    return Trained(tuple(parts), probes, tuple(right))


def _fit(h: np.ndarray, places: np.ndarray, y: np.ndarray, seed: int) -> Probe:
    return fit_cross_validated(h[places], y[places], spread_folds(y[places], None, FOLDS, seed))


def accuracy(probe: Probe, x: np.ndarray, y: np.ndarray) -> float:
    """Share of texts that a probe answers rightly."""
    return float((probe.predict(x) == y).mean())


def effects(read: Read, part: Part, probe: Probe, of_scr: bool) -> np.ndarray:
    """How much each latent does for a probe, float64 [d_sae]: the difference of its mean codes between the classes times the
    product of its decoder row with the probe; SCR takes its size, TPP differences above 0 alone."""
    y = part.y[part.train]
    means = [np.asarray(read.codes[part.train[y == one]].mean(0), np.float64).ravel() for one in (1, 0)]
    difference = means[0] - means[1]
    direction = read.decoder @ probe.coefficients[:, 0]
    return np.abs(difference * direction) if of_scr else np.maximum(difference, 0) * direction


def strongest(values: np.ndarray, count: int) -> np.ndarray:
    """The latents with the largest effects, none that has no effect, int64."""
    order = np.argsort(-values, kind="stable")[:count]
    return order[values[order] != 0]


def without(h: np.ndarray, read: Read, latents: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Pooled activations of some texts without some latents, [places, d_in]."""
    codes = read.codes[places][:, latents]
    codes = codes.toarray() if hasattr(codes, "toarray") else codes
    return h[places] - codes.astype(np.float64) @ read.decoder[latents]


@dataclass(frozen=True)
class Spurious:
    """What SCR needs beside an SAE: probes of both labels on balanced texts, one trained where the labels agree, and what the
    latter answers rightly of each label on balanced texts."""

    labels: Trained
    biased: Probe
    fooled: tuple[float, float]


def spurious(h: np.ndarray, parts: Sequence[Part], biased: np.ndarray, seed: int) -> Spurious:
    """The probes of SCR.

    Args:
        h: activations, float64 [texts, d_in].
        parts: both labels on balanced texts.
        biased: places of the training texts whose labels agree.
        seed: of the folds.
    """
    probe = _fit(h, biased, parts[0].y, seed)
    right = [accuracy(probe, h[part.test], part.y[part.test]) for part in parts]
    return Spurious(trained(h, parts, seed), probe, (right[0], right[1]))


def scr(h: np.ndarray, read: Read, of: Spurious, count: int, ranking: Ranking | None = None) -> dict[str, float | None]:
    """SCR with so many latents out: `scr_dir1` and `scr_dir2` (asked for the first, for the second label, with latents of the
    other one out), and `scr`, that of the label which the biased probe knows less of.

    Args:
        h: activations, float64 [texts, d_in].
        read: the SAE.
        of: see `spurious`.
        count: of latents.
        ranking: makes other effects of the effects (a control).
    """
    found: dict[str, float | None] = {}
    for asked in (0, 1):
        other, part = 1 - asked, of.labels.parts[asked]
        values = effects(read, of.labels.parts[other], of.labels.probes[other], of_scr=True)
        latents = strongest(ranking(values) if ranking else values, count)
        after = accuracy(of.biased, without(h, read, latents, part.test), part.y[part.test])
        gap = of.labels.accuracies[asked] - of.fooled[asked]
        found[f"scr_dir{asked + 1}"] = (after - of.fooled[asked]) / gap if gap >= LEAST_GAP else None
    harder = 0 if of.fooled[0] < of.fooled[1] else 1
    return found | {"scr": found[f"scr_dir{harder + 1}"]}


def tpp(h: np.ndarray, read: Read, of: Trained, count: int, ranking: Ranking | None = None) -> dict[str, float | None]:
    """TPP with so many latents of each class out: `tpp_intended` is the accuracy that its own probe loses, `tpp_unintended`
    that the other classes' probes lose, means over classes, and `tpp` their difference."""
    intended, unintended = [], []
    for at, (part, probe) in enumerate(zip(of.parts, of.probes, strict=True)):
        values = effects(read, part, probe, of_scr=False)
        latents = strongest(ranking(values) if ranking else values, count)
        lost = [
            before - accuracy(other, without(h, read, latents, theirs.test), theirs.y[theirs.test])
            for before, other, theirs in zip(of.accuracies, of.probes, of.parts, strict=True)
        ]
        intended.append(lost.pop(at))
        unintended.append(float(np.mean(lost)))
    own, others = float(np.mean(intended)), float(np.mean(unintended))
    return {"tpp_intended": own, "tpp_unintended": others, "tpp": own - others}


def one_against_rest(classes: np.ndarray, is_test: np.ndarray, seed: int) -> list[Part]:
    """For each class a part with as many of the others, spread over them evenly."""
    generator = np.random.default_rng([seed, 7])
    parts = []
    for label in np.unique(classes):
        sides = []
        for test in (False, True):
            mine = np.flatnonzero((classes == label) & (is_test == test))
            rest = [
                generator.permutation(np.flatnonzero((classes == one) & (is_test == test)))
                for one in np.unique(classes)
                if one != label
            ]
            each = -(-len(mine) // len(rest))
            others = generator.permutation(np.concatenate([one[:each] for one in rest]))[: len(mine)]
            sides.append(np.concatenate([mine, others]))
        parts.append(Part(sides[0], sides[1], (classes == label).astype(np.int64)))
    return parts


def shuffled(seed: int) -> Ranking:
    """A control: effects of other latents, those without any left out."""

    def ranking(values: np.ndarray) -> np.ndarray:
        some = np.flatnonzero(values != 0)
        other = np.zeros_like(values)
        other[some] = np.abs(values[np.random.default_rng([seed, 8]).permutation(some)]) + 1e-300
        return other

    return ranking


def figures_of(
    h: Mapping[str, np.ndarray],
    reads: Mapping[str, Read],
    of: tuple[Spurious, Trained],
    counts: Sequence[int],
    ranking: Ranking | None = None,
) -> dict[str, dict[str, float | None]]:
    """Everything of one SAE, by number of latents.

    Args:
        h, reads: activations and what the SAE makes of the texts, of `scr` and of `tpp`.
        of: see `spurious` and `trained`.
        counts: of latents.
        ranking: of a control.
    """
    return {
        str(count): scr(h["scr"], reads["scr"], of[0], count, ranking)
        | tpp(h["tpp"], reads["tpp"], of[1], count, ranking)
        for count in counts
    }
