"""Planted foreign latents: what rules find of features that a text lacks, where one knows which latents have learned them.

A training has a fifth of its tokens from `foreign`, whose features the truth lacks; the text that the latents are foreign to
is the truth alone. A rule is told a stimulus too, and flags latents; right are those that are features of `foreign`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypedDict

import numpy as np
import torch
from torch import Tensor

from faithful.base.progress import Reporter, within
from faithful.executor.jobs import Crew
from faithful.executor.where import share_of
from faithful.sae.autoencoder import Autoencoder
from studies.common.foreign import RULE, ForeignRule
from studies.statistics.estimates import estimate
from studies.statistics.records import Figure, Numbers
from studies.synthetic.bench import Bench, Job, one_thread
from studies.synthetic.plan import planted_arms
from studies.synthetic.recovery import THRESHOLD, unit
from studies.synthetic.truths import EVALUATION, FOREIGN, TRAINING, Truth, make_truth

EVERY = 5
"""One in so many tokens of a training is foreign."""
TRUTHS, SEEDS = 3, 2
"""Most truth seeds and init seeds that are looked at."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
QUANTILES = (0.9, 0.99, 0.999)
OWN, ITS = "the truth", "its training"
STIMULI = ("isotropic noise", "noise of the truth's covariance", FOREIGN, ITS)
WITH, WITHOUT = "with foreign tokens", "without"
DENSITY: Final = "density"
STRONG: Final = "strong"

Counts = dict[str, list[int]]
"""By stimulus: foreign latents that a rule flags, and others."""


class Judged(TypedDict):
    """What each rule makes of one SAE: `learned` are its latents that are foreign features, `l0` is by text."""

    learned: int
    l0: Numbers
    density: Counts
    strong: Counts
    sweep: dict[str, Counts]


class Flagged(TypedDict):
    """Means over truths: the share of the foreign latents that a rule flags, and how many others."""

    found: Figure
    flagged_else: Figure


class Planted(TypedDict):
    """Means over truths of `Judged`: of each rule by stimulus, of the sweep by quantile and share and then by stimulus."""

    learned: Figure
    l0: dict[str, Figure]
    density: dict[str, Flagged]
    strong: dict[str, Flagged]
    sweep: dict[str, dict[str, Flagged]]


def study_planted(bench: Bench, report: Reporter) -> dict[str, dict[str, Planted]]:
    """What rules find, by variant and truth and by what the SAEs were trained on.

    Of the truth seeds it looks at the first three at most, of the init seeds at the first two.

    Raises:
        FaithfulError: a training that diverged.
    """
    config = bench.config
    truths, arms = config.truth_seeds[:TRUTHS], planted_arms(config)
    jobs = [Job(name, seed, arm) for name in config.truths for seed in truths for arm in arms]
    left = [job for job in jobs if bench.cache.get(*_key(bench, job)) is None]
    with Crew(_work, bench, config.workers, share_of("cpu", config.workers, threads=1), "study") as crew:
        crew.run(left, within(report, "planted"))
    found: dict[str, dict[int, dict[str, list[Judged]]]] = {}
    for job in jobs:
        found.setdefault(f"{job.arm.label} on {job.truth}", {})[job.truth_seed] = (
            bench.cache.get(*_key(bench, job)) or {}
        )
    return {
        name: {trained: _means({seed: of[trained] for seed, of in by_truth.items()}) for trained in (WITH, WITHOUT)}
        for name, by_truth in found.items()
    }


def _key(bench: Bench, job: Job) -> tuple[Any, ...]:
    return ("planted", *bench.key(job, *bench.config.seeds[:SEEDS]), EVERY, SHARES, QUANTILES, vars(RULE))


@one_thread()
def _work(bench: Bench, job: Job, report: Reporter) -> None:
    """Train with foreign tokens and without, and keep what the rules make of each SAE."""
    held, config = bench.hold(job), bench.config
    foreign = make_truth(FOREIGN, job.truth_seed, config.d_in)
    mixed = held.x.clone()
    mixed[::EVERY] = foreign.activations(TRAINING, len(mixed[::EVERY]))
    texts = texts_of(held.features @ held.truth.vectors, foreign, job.truth_seed)
    kept: dict[str, list[Judged]] = {}
    seeds = tuple(sorted(config.seeds[:SEEDS]))
    for trained, x in ((WITH, mixed), (WITHOUT, held.x)):
        stack = bench.train(job, seeds, x, within(report, trained))
        read = texts if trained == WITH else texts | {ITS: texts[OWN]}
        kept[trained] = [judged(bench.sae(job, stack, cell), read, foreign) for cell in range(len(seeds))]
    bench.cache.put(kept, *_key(bench, job))


def texts_of(own: Tensor, foreign: Truth, seed: int) -> dict[str, Tensor]:
    """What is read, each [N, d]: activations of the truth, of a training with foreign ones, and the stimuli."""
    generator = np.random.default_rng([seed, 7])
    drawn = torch.from_numpy(generator.standard_normal((2, *own.shape))).float()
    mean, (values, vectors) = own.mean(0), torch.linalg.eigh(torch.cov(own.T))
    other = foreign.activations(EVALUATION, len(own))
    training = own.clone()
    training[::EVERY] = other[::EVERY]
    size = own.square().sum(1).mean().sqrt() / own.shape[1] ** 0.5
    noises = (drawn[0] * size, mean + drawn[1] * values.clamp_min(0).sqrt() @ vectors.T)
    return {OWN: own, ITS: training, FOREIGN: other} | dict(zip(STIMULI, noises, strict=False))


@torch.no_grad()
def judged(sae: Autoencoder, texts: Mapping[str, Tensor], foreign: Truth) -> Judged:
    """What each rule makes of one SAE."""
    is_foreign = ((unit(sae.W_dec) @ foreign.vectors.T).amax(1) > THRESHOLD).numpy()
    ordered = {name: sae.encode(x).T.contiguous().sort(1).values for name, x in texts.items()}
    fires = {name: _density(one, torch.zeros(sae.d_sae)) for name, one in ordered.items()}
    l0 = {name: float(one.sum()) for name, one in fires.items()}
    sweep: dict[str, Counts] = {}
    for quantile in dict.fromkeys((*QUANTILES, RULE.quantile)):
        reference = reference_of(ordered[ITS], quantile)
        for share in dict.fromkeys((*SHARES, RULE.share)):
            rule = replace(RULE, quantile=quantile, share=share)
            strong = {one: _density(ordered[one], share * reference) for one in (*STIMULI, OWN)}
            counts = {one: _counts(rule, strong[one], strong[OWN], is_foreign) for one in STIMULI}
            sweep[f"{quantile:g} {share:g}"] = counts
    return {
        "learned": int(is_foreign.sum()),
        "l0": {name: value / l0[OWN] if l0[OWN] else None for name, value in l0.items()},
        DENSITY: {one: _counts(RULE, fires[one], fires[OWN], is_foreign) for one in STIMULI},
        "sweep": sweep,
        STRONG: sweep[f"{RULE.quantile:g} {RULE.share:g}"],
    }


def reference_of(ordered: Tensor, quantile: float) -> Tensor:
    """A quantile of each latent's positive activations [F] from codes [F, N] that ascend, as `studies.common.foreign` has it:
    the one of rank round((n − 1) · quantile) from below; 0 where it never fires."""
    count, tokens = (ordered > 0).sum(1), ordered.shape[1]
    rank = ((count - 1).clamp_min(0).double() * quantile).round().long()
    return ordered.gather(1, (tokens - count + rank).clamp_max(tokens - 1)[:, None]).flatten()


def _density(ordered: Tensor, thresholds: Tensor) -> np.ndarray:
    """Share of the tokens on which each latent is above its threshold."""
    below: np.ndarray = torch.searchsorted(ordered, thresholds[:, None], right=True).flatten().numpy()
    return (ordered.shape[1] - below) / ordered.shape[1]


def _counts(rule: ForeignRule, stimulus: np.ndarray, own: np.ndarray, is_foreign: np.ndarray) -> list[int]:
    """Foreign latents that a rule flags, and others."""
    flagged = rule.foreign(stimulus, own)
    return [int((flagged & is_foreign).sum()), int((flagged & ~is_foreign).sum())]


def _means(by_truth: Mapping[int, Sequence[Judged]]) -> Planted:
    """Means over truths of those over their SAEs."""
    truths = [seed for seed, saes in by_truth.items() for _ in saes]
    every = [one for saes in by_truth.values() for one in saes]

    def mean(values: Sequence[float | None]) -> Figure:
        """Of a figure of every SAE."""
        of: dict[int, list[float]] = {seed: [] for seed in by_truth}
        for seed, value in zip(truths, values, strict=True):
            of[seed] += [] if value is None else [value]
        return estimate({seed: float(np.mean(given)) if given else None for seed, given in of.items()}).summary()

    def flagged(counts: Sequence[Counts]) -> dict[str, Flagged]:
        """By stimulus, of the counts of every SAE."""
        pairs = [(of, one["learned"]) for of, one in zip(counts, every, strict=True)]
        return {
            at: {
                "found": mean([of[at][0] / learned if learned else None for of, learned in pairs]),
                "flagged_else": mean([of[at][1] for of in counts]),
            }
            for at in STIMULI
        }

    return {
        "learned": mean([one["learned"] for one in every]),
        "l0": {text: mean([one["l0"][text] for one in every]) for text in every[0]["l0"]},
        DENSITY: flagged([one[DENSITY] for one in every]),
        STRONG: flagged([one[STRONG] for one in every]),
        "sweep": {at: flagged([one["sweep"][at] for one in every]) for at in every[0]["sweep"]},
    }
