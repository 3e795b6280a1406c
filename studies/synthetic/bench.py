"""SAEs trained on truths, each measured once: results kept by all that decides them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter
from faithful.executor.jobs import Crew, in_turn
from faithful.executor.parts import end_part, own
from faithful.executor.where import share_of
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.stack import Stack
from faithful.sae.variant import DEFAULT
from faithful.training.identity import ALGORITHM
from studies.common.cache import ResultCache
from studies.common.controls import PERMUTED, UNTRAINED, permuted_sae, untrained_topk
from studies.statistics.records import Numbers
from studies.statistics.sentences import ORACLE
from studies.synthetic.config import HIGHER, SyntheticConfig
from studies.synthetic.evaluate import evaluate, evaluate_oracle
from studies.synthetic.plan import Arm
from studies.synthetic.recovery import agreement, rows_of
from studies.synthetic.truths import EVALUATION, PIECE, TRAINING, Truth, make_truth

FORMAT = 2
TOLD_EVERY = 50


class Job(NamedTuple):
    """A variant on one truth, all init seeds of which train in step."""

    truth: str
    truth_seed: int
    arm: Arm


@dataclass
class Held:
    """A truth with its activations, as long as jobs are of it.

    Attributes:
        truth: its features.
        x: [steps · batch, d], all activations of a training, the same for every variant.
        features: [N, M], fresh ones to measure on.
    """

    truth: Truth
    x: Tensor
    features: Tensor


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread: sums, and so trainings, depend on how many there are. It is then as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Bench:
    """Trains and measures what is not kept.

    Attributes:
        config: what the study was told.
        held: the truth of the last job.
    """

    config: SyntheticConfig
    held: Held | None = field(default=None, repr=False)

    def __getstate__(self) -> object:
        """To be pickled: without what is held."""
        return vars(self) | {"held": None}

    @property
    def cache(self) -> ResultCache:
        """Where results are kept."""
        return ResultCache(self.config.out / "cells", FORMAT, ALGORITHM, version("sae-lens"))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every two init seeds, in whatever order they were stated."""
        return list(combinations(sorted(self.config.seeds), 2))

    def run(self, jobs: Sequence[Job], report: Reporter) -> int:
        """Do the jobs that are not done, and say how many were.

        Raises:
            PartDone: those of a part are done.
        """
        every, jobs = jobs, own(jobs)
        left = [job for job in jobs if self._lacks(job)]
        share = share_of("cpu", self.config.workers, threads=1)
        with Crew(Bench.work, self, self.config.workers, share, "study") as crew:
            crew.run(left, report)
        end_part(len(jobs), len(jobs) - len(left), lambda: sum(map(self._lacks, every)))
        return len(jobs) - len(left)

    @one_thread()
    def work(self, job: Job, report: Reporter) -> None:
        """Train what a job lacks, measure it, and hold its seeds against each other.

        Raises:
            FaithfulError: a training that diverged; its others are kept.
        """
        if missing := self._missing(job):
            stack = self.train(job, missing, self.hold(job).x, report)
            in_turn(partial(self._measure, job, stack), range(len(missing)))
        truth = make_truth(job.truth, job.truth_seed, self.config.d_in)
        rows = {seed: rows_of(self._kept(job, seed)["rows"].float(), truth) for seed in self.config.seeds}
        for one, other in self.pairs:
            self.cache.once(partial(agreement, rows[one], rows[other]), *self.key(job, one, other))
        self.cache.once(partial(self._measure_oracle, job, truth), *self._oracle_key(job))

    def _measure_oracle(self, job: Job, truth: Truth) -> Numbers:
        features = torch.cat(list(truth.features(EVALUATION, self.config.tokens)))
        return _of_control(ORACLE, evaluate_oracle(truth, features).figures)

    def _measure(self, job: Job, stack: Stack, cell: int) -> None:
        held, seed = self.hold(job), stack.config.init_seeds[cell]
        sae = self.sae(job, stack, cell)
        found = evaluate(sae, held.truth, held.features)
        own: Numbers = {f"own_{name}": value for name, value in stack.report(cell).items()}
        if job.arm.label == DEFAULT:
            own |= of_controls(sae, seed, held)
        kept = {"figures": found.figures | own, "rows": found.rows.half()}
        self.cache.tensors(partial(_given, kept), *self.key(job, seed))

    def train(self, job: Job, seeds: tuple[int, ...], x: Tensor, report: Reporter) -> Stack:
        """A stack trained on activations [steps · batch, d], in their order."""
        config = job.arm.stack(self.config, job.truth, seeds)
        sizes = torch.cat([part.square().sum(1) for part in x.split(PIECE)])
        stack = Stack(config, x.mean(0), float(sizes.mean().rsqrt()), "cpu")
        for step, batch in enumerate(x.split(self.config.batch)):
            stack.step(batch)
            if step % TOLD_EVERY == 0:
                name = f"{job.truth} {job.truth_seed}, {job.arm.label}: training"
                report(Progress(name, step + 1, config.steps, "steps"))
        return stack

    def sae(self, job: Job, stack: Stack, cell: int) -> Autoencoder:
        """One SAE of a job's stack.

        Raises:
            FaithfulError: its training diverged.
        """
        sae = stack.sae(cell)
        if all(bool(one.isfinite().all()) for one in (sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)):
            return sae
        raise FaithfulError(
            f"{job.arm.label} on {job.truth} {job.truth_seed} diverged with init seed {stack.config.init_seeds[cell]} and lr"
            f" {stack.config.lr:g}; train with a smaller --lr."
        )

    def figures(self, job: Job, seed: int) -> Numbers:
        """Figures of one SAE; of topk with those of its controls, the truth itself among them."""
        return dict(self._kept(job, seed)["figures"]) | (self._oracle(job) if job.arm.label == DEFAULT else {})

    def pair(self, job: Job, one: int, other: int) -> Numbers:
        """Figures of two SAEs of a job, in any order."""
        return self.cache.get(*self.key(job, one, other)) or {}

    def hold(self, job: Job) -> Held:
        """The truth of a job with its activations."""
        if self.held is None or (self.held.truth.name, self.held.truth.seed) != (job.truth, job.truth_seed):
            self.held = None
            truth = make_truth(job.truth, job.truth_seed, self.config.d_in)
            x = truth.activations(TRAINING, self.config.steps * self.config.batch)
            self.held = Held(truth, x, torch.cat(list(truth.features(EVALUATION, self.config.tokens))))
        return self.held

    def _missing(self, job: Job) -> tuple[int, ...]:
        return tuple(seed for seed in self.config.seeds if not self.cache.has_tensors(*self.key(job, seed)))

    def _oracle(self, job: Job) -> Numbers:
        return self.cache.get(*self._oracle_key(job)) or {}

    def _oracle_key(self, job: Job) -> tuple[Any, ...]:
        return (ORACLE, job.truth, job.truth_seed, self.config.d_in, self.config.tokens)

    def _has_pairs(self, job: Job) -> bool:
        return all(self.pair(job, *pair) for pair in self.pairs)

    def _lacks(self, job: Job) -> bool:
        return bool(self._missing(job)) or not self._has_pairs(job) or not self._oracle(job)

    def _kept(self, job: Job, seed: int) -> Any:
        def lost(checkpoint: object) -> Any:
            raise KeyError(f"{job} has no result of seed {seed}")

        return self.cache.tensors(lost, *self.key(job, seed))

    def key(self, job: Job, *seeds: int) -> tuple[Any, ...]:
        """All that decides a result of a job's SAE, or of several in any order."""
        how = vars(job.arm.stack(self.config, job.truth, self.config.seeds)).copy()
        variant = how.pop("variant")
        how.pop("init_seeds")
        about = [job.truth, job.truth_seed, self.config.batch, self.config.tokens, how]
        return (*about, variant.label, variant.version, *sorted(seeds))


def of_controls(sae: Autoencoder, seed: int, held: Held) -> Numbers:
    """`METRIC:CONTROL`: what the controls of a trained SAE with so many latents for each token have on its truth."""
    start = untrained_topk(seed, sae.d_sae, sae.k or 0, held.x.mean(0))
    made = {PERMUTED: permuted_sae(sae, seed), UNTRAINED: start}
    found: Numbers = {}
    for name, one in made.items():
        found |= _of_control(name, evaluate(one, held.truth, held.features).figures)
    return found


def _of_control(name: str, figures: Numbers) -> Numbers:
    return {f"{metric}:{name}": figures[metric] for metric in HIGHER}


def _given(kept: Any, checkpoint: object) -> Any:
    """What is to be kept is there already: there is nothing to go on with."""
    return kept
