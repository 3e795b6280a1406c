"""What the studies of a run say of single latents: stability, partners, fakes, probe weights; and what adds what lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from faithful.options.line import command_line
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.results import SUMMARY, read_summary
from studies.explanations.config import STUDY as EXPLANATIONS_STUDY
from studies.explanations.kept import EXPLANATIONS, Explanation, read_explanations
from studies.fakes.config import FakesConfig
from studies.probes.config import ProbesConfig
from studies.seeds.config import SeedsConfig
from studies.seeds.matching import THRESHOLD
from studies.seeds.pairs import PAIRS, VERSION, of_one_init
from studies.statistics.latents import LATENTS, read_latents

COLUMNS = {
    "stable": ("how often a latent reappears with other seeds, and its partners there", SeedsConfig),
    "fake": ("whether a latent is fake", FakesConfig),
    "weight": ("what a latent weighs in probes", ProbesConfig),
}


@dataclass(frozen=True)
class Partners:
    """Whom the latents of one SAE were matched with in another one.

    Attributes:
        other: that one.
        columns: int64 [d_sae], each latent's partner, −1 where it has none.
        cosines: float64 [d_sae], of the decoder rows, nan there.
    """

    other: TrainedSae
    columns: np.ndarray
    cosines: np.ndarray


@dataclass(frozen=True)
class OfSae:
    """What studies say of the latents of an SAE.

    Attributes:
        columns: figures by name, each [d_sae]: the share of the other seeds of its corpus in which a latent reappears
            (`stable`), the largest cosine with a partner (`best`), whether it is `fake`, its share of the weight of a probe,
            mean over the tasks that the study's own means are over (`weight`); those that are known.
        partners: in every other SAE that `study seeds` compared it with: in those of the same start it did not.
        weights: by task, each latent's share of the weight of the full probe, [d_sae].
        explanations: what a model said of some latents; how well it tells where they fire is the column `detection`.
    """

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    partners: list[Partners] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    explanations: dict[int, Explanation] = field(default_factory=dict)


class Studied:
    """What the studies of a run left of its SAEs.

    Args:
        run: its folder.
        saes: all of its SAEs.

    Raises:
        FaithfulError: a file is damaged.
    """

    def __init__(self, run: Path, saes: Sequence[TrainedSae]) -> None:
        self.run, self.saes = run, saes
        self._fakes, self._weights = (
            read_latents(run / "studies" / one.COMMAND.removeprefix("study ") / LATENTS)
            for one in (FakesConfig, ProbesConfig)
        )
        self._explained = read_explanations(run / "studies" / EXPLANATIONS_STUDY.name / EXPLANATIONS)
        self._pairs = ResultCache(run / "studies" / "seeds" / PAIRS, VERSION)

    @cached_property
    def tasks(self) -> list[str]:
        """Of the probes."""
        return list(next(iter(self._weights.values()), {}))

    @cached_property
    def _averaged(self) -> list[str]:
        """Tasks of the probes that are not at their ceiling."""
        path = self.run / "studies" / "probes" / SUMMARY
        summary: Mapping[str, Any] = read_summary(path) if path.exists() else {"unmarked": []}
        return [task for task in summary["unmarked"] if task in self.tasks]

    @cached_property
    def missing(self) -> list[tuple[str, str]]:
        """What no study said of every SAE, and the command that adds it."""
        matched = {sae.sha256 for sae in self.saes if self._is_matched(sae)}
        known = {"stable": matched, "fake": self._fakes, "weight": self._weights}
        return [
            (what, command_line(config, saes=(self.run,)))
            for name, (what, config) in COLUMNS.items()
            if any(sae.sha256 not in known[name] for sae in self.saes)
        ]

    def _is_matched(self, sae: TrainedSae) -> bool:
        """Whether an SAE has partners, or never has any, since all others began as it did."""
        others = [other for other in self.saes if other is not sae and not of_one_init(sae, other)]
        return not others or any(self._has(sae, other) for other in others)

    def of(self, sae: TrainedSae) -> OfSae:
        """What they left of one SAE."""
        partners = [self._partners(sae, other) for other in self.saes if self._has(sae, other)]
        fakes, weights = self._fakes.get(sae.sha256, {}), self._weights.get(sae.sha256, {})
        columns = {}
        if seeds := [one for one in partners if (one.other.corpus, one.other.shape) == (sae.corpus, sae.shape)]:
            columns["stable"] = np.mean([one.cosines > THRESHOLD for one in seeds], axis=0)
        if partners:
            columns["best"] = np.fmax.reduce([one.cosines for one in partners])
        if fakes:
            columns["fake"] = fakes["fake"]
        if weights:
            columns["weight"] = np.mean([weights[task] for task in self._averaged or weights], axis=0)
        explained = self._explained.get(sae.sha256, {})
        if explained:
            columns["detection"] = np.full(sae.d_sae, np.nan)
            columns["detection"][list(explained)] = [one.detection for one in explained.values()]
        return OfSae(columns, partners, weights, explained)

    def _has(self, one: TrainedSae, other: TrainedSae) -> bool:
        return self._pairs.has_tensors(one.sha256, other.sha256) or self._pairs.has_tensors(other.sha256, one.sha256)

    def _partners(self, sae: TrainedSae, other: TrainedSae) -> Partners:
        """Of two SAEs that were matched, the one as the first or as the second."""
        if self._pairs.has_tensors(sae.sha256, other.sha256):
            kept = self._pairs.kept_tensors(sae.sha256, other.sha256)
            return Partners(other, kept["columns"].numpy().astype(np.int64), kept["cosines"].numpy())
        kept = self._pairs.kept_tensors(other.sha256, sae.sha256)
        matched = np.flatnonzero(kept["columns"].numpy() >= 0)
        mine = kept["columns"].numpy()[matched]
        columns, cosines = np.full(sae.d_sae, -1), np.full(sae.d_sae, np.nan)
        columns[mine], cosines[mine] = matched, kept["cosines"].numpy()[matched]
        return Partners(other, columns, cosines)
