"""Measures SAEs: how their latents fire on both texts, and what the model answers under every setting and its controls."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch

from faithful.base.digest import digest
from faithful.base.progress import Reporter, counted, silent
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.codes import Codes, InTurn, Moments, code_text, moments_of
from studies.common.controls import (
    PERMUTED,
    UNTRAINED,
    has_untrained,
    permuted_sae,
    start_of,
    untrained_sae,
)
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import Job, jobs_of, keep_start, kept_start, measure_in_groups, study_crew
from studies.unlearning.choose import SIDES, Answers, choose
from studies.unlearning.clamp import Clamp, Firing, answered
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.questions import Asked

FORMAT = 2
FIRING, CLAMPED, RANDOM, TRAINED = "firing", "clamped", "random latents", "trained"
TOGETHER = 6
"""SAEs that are asked in one reading of the model as it is; all of them are in memory."""
CONTROLS = (RANDOM, PERMUTED, UNTRAINED)


NOTHING = Clamp(np.zeros(0, np.int64), np.zeros(0, np.float32))


class Setting(NamedTuple):
    """What is clamped, and to what."""

    threshold: float
    latents: int
    multiplier: float


class UnlearnedCell(TypedDict):
    """Of an SAE the settings that are scored on the first and on the second half (None where none unlearns); by side which
    questions are answered rightly as the model is, under each setting, and under the chosen ones with each control (an
    untrained start under those that are chosen for itself)."""

    chosen: list[int | None]
    clean: dict[str, list[int]]
    clamped: dict[str, list[list[int]]]
    controls: dict[str, dict[str, list[list[int]]]]


def settings_of(config: UnlearningConfig) -> list[Setting]:
    """Every setting, the mildest first."""
    return [
        Setting(*one) for one in product(sorted(config.thresholds), sorted(config.latents), sorted(config.multipliers))
    ]


class Bench:
    """Measures SAEs that are not measured yet.

    Args:
        config: of the study.
        found: model, hook and device.
        panel: texts of both corpora, `forget` and `retain`.
        asked: the questions by side.
        second: which of them are in the second half, by side.
        ordinary: bool [vocab], False for special ids.
    """

    def __init__(
        self,
        config: UnlearningConfig,
        found: StudyInput,
        panel: Panel,
        asked: Mapping[str, Asked],
        second: Mapping[str, np.ndarray],
    ) -> None:
        self.found, self.panel, self.asked, self.second = found, panel, asked, second
        self.settings, self.allowed, self.seed = settings_of(config), config.allowed, config.seed
        texts = digest(
            [
                {name: [np.asarray(of).tolist() for of in array] for name, array in vars(one).items()}
                for one in asked.values()
            ]
        )
        spec = found.spec
        self._cells = ResultCache(
            config.out / "cells", FORMAT, spec.revision, spec.precision, found.hook.name, panel.sha256, texts,
            [list(one) for one in self.settings], config.allowed, config.seed,
        )  # fmt: skip

    @cached_property
    def moments(self) -> Moments:
        """Of the activations of both texts."""
        return moments_of(self.found.truncated, self.panel.rows, self.panel.ordinary)

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self, workers: int | None, report: Reporter = silent) -> dict[str, UnlearnedCell]:
        """Of every SAE by its hash."""
        with study_crew(Bench.do, self, self.found, workers) as crew:

            def measure(saes: list[TrainedSae]) -> Sequence[UnlearnedCell]:
                if crew.inherits:
                    self.moments  # noqa: B018 (the model is loaded here, and read once)
                crew.run(jobs_of([(FIRING, tuple(self._cells.lacking(saes, FIRING)))], crew.count), report)
                measure_in_groups(crew, self._cells, saes, CLAMPED, TOGETHER, report)
                return [self._cells.kept(sae, CLAMPED) for sae in saes]

            return self._cells.figures(self.found.saes, measure)

    def do(self, job: Job, report: Reporter) -> None:
        """Read both texts for some SAEs, or ask all questions under the settings of some or of their starts; keep what comes
        of it."""
        what, saes = job
        if what == FIRING:
            self._read(saes, report)
            return
        firings = {sae.sha256: _firings(self._cells.kept(sae, FIRING)) for sae in saes}
        if what == UNTRAINED:
            self._ask_starts(saes, firings)
        else:
            self._ask(saes, firings)

    def _read(self, saes: Sequence[TrainedSae], report: Reporter) -> None:
        starts = {tuple(start_of(sae)): sae for sae in saes if has_untrained(sae)}
        loads = InTurn([*(sae.load for sae in saes), *(partial(self._start, sae) for sae in starts.values())])
        tally = counted(report, "codes", "contexts")
        coded = code_text(self.found.truncated, loads, self.panel.rows, self.panel.ordinary, tally)
        sides = self.panel.part_of_rows()[coded.owners]
        firings = [_firing(codes, sides) for codes in coded.codes]
        begun = dict(zip(starts, firings[len(saes) :], strict=True))
        for sae, of in zip(saes, firings, strict=False):
            start = {UNTRAINED: begun[tuple(start_of(sae))]} if has_untrained(sae) else {}
            self._cells.keep(sae, FIRING, {TRAINED: of} | start)

    def _start(self, sae: TrainedSae) -> Autoencoder:
        return untrained_sae(sae, self.moments.mean, self.moments.covariance)

    def _ask_starts(self, saes: Sequence[TrainedSae], firings: Mapping[str, Mapping[str, Firing]]) -> None:
        """Every setting of untrained starts, each once for all SAEs that began so."""
        asked = {
            sae: (self._start(sae).to(device=self.found.device), self._clamps(firings[sae.sha256][UNTRAINED]))
            for sae in saes
        }
        under = {side: self._answered(side, asked)[1] for side in SIDES}
        for sae in saes:
            keep_start(self._cells, sae, {side: torch.from_numpy(under[side][sae]) for side in SIDES})

    def _ask(self, saes: Sequence[TrainedSae], firings: Mapping[str, Mapping[str, Firing]]) -> None:
        """Every setting, what is chosen among them, and the controls under it."""
        asked = {
            sae: (sae.load().to(device=self.found.device), self._clamps(firings[sae.sha256][TRAINED])) for sae in saes
        }
        every = {side: self._answered(side, asked) for side in SIDES}
        clean = {side: right for side, (right, _) in every.items()}
        chosen = {sae: self._chosen(clean, {side: under[sae] for side, (_, under) in every.items()}) for sae in saes}
        others: dict[tuple[TrainedSae, str], tuple[Autoencoder, list[Clamp]]] = {}
        for sae, (loaded, clamps) in asked.items():
            firing, places = firings[sae.sha256][TRAINED], chosen[sae]
            others[sae, PERMUTED] = (
                permuted_sae(loaded, self.seed),
                [NOTHING if place is None else clamps[place] for place in places],
            )
            others[sae, RANDOM] = (
                loaded,
                [NOTHING if place is None else self._like(firing, clamps[place], place) for place in places],
            )
        under_others = {side: self._answered(side, others)[1] for side in SIDES}
        for sae in saes:
            controls = {
                name: {side: _listed(under_others[side][sae, name]) for side in SIDES} for name in (RANDOM, PERMUTED)
            }
            if UNTRAINED in firings[sae.sha256]:
                controls[UNTRAINED] = self._begun(sae, clean)
            cell: UnlearnedCell = {
                "chosen": list(chosen[sae]),
                "clean": {side: _listed(right) for side, right in clean.items()},
                "clamped": {side: _listed(under[sae]) for side, (_, under) in every.items()},
                "controls": controls,
            }
            self._cells.keep(sae, CLAMPED, cell)

    def _begun(self, sae: TrainedSae, clean: Mapping[str, np.ndarray]) -> dict[str, list[list[int]]]:
        """What an untrained start, which is measured as the SAE is, answers under what is chosen for itself."""
        begun = {side: right.numpy() for side, right in kept_start(self._cells, sae).items()}
        places = self._chosen(clean, begun)
        return {
            side: [_listed(clean[side] if place is None else begun[side][place]) for place in places] for side in SIDES
        }

    def _like(self, firing: Firing, clamp: Clamp, setting: int) -> Clamp:
        """A setting with other latents of equal density."""
        return _clamp(firing, firing.like(clamp.latents, self.seed), self.settings[setting].multiplier)

    def _clamps(self, firing: Firing) -> list[Clamp]:
        return [_clamp(firing, firing.chosen(one.threshold, one.latents), one.multiplier) for one in self.settings]

    def _chosen(
        self, clean: Mapping[str, np.ndarray], clamped: Mapping[str, np.ndarray]
    ) -> tuple[int | None, int | None]:
        of = [Answers(clean[side], clamped[side], self.second[side]) for side in SIDES]
        return choose(of[0], of[1], self.allowed)

    def _answered(self, side: str, saes: Mapping[Any, tuple[Autoencoder, Sequence[Clamp]]]) -> Any:
        return answered(self.found.model, self.found.hook, self.asked[side], self.panel.ordinary, saes)


def _listed(right: np.ndarray) -> Any:
    return right.astype(int).tolist()


def _firings(kept: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, Firing]:
    return {name: Firing(*(of[one].numpy() for one in ("forget", "retain", "strength"))) for name, of in kept.items()}


def _clamp(firing: Firing, latents: np.ndarray, multiplier: float) -> Clamp:
    return Clamp(latents, (-multiplier * firing.strength[latents]).astype(np.float32))


def _firing(codes: Codes, sides: np.ndarray) -> dict[str, torch.Tensor]:
    """How often latents fire on the tokens of both sides (0: forget), and how strongly on the first."""
    found = {}
    for place, side in enumerate(SIDES):
        here = torch.from_numpy(sides == place)
        some = Codes(codes.values[here], codes.latents[here], codes.d_sae)
        found[side] = torch.from_numpy(some.density)
        if side == "forget":
            fired = some.values > 0
            weights = some.values[fired].double()
            sums = torch.bincount(some.latents[fired].long(), weights, minlength=codes.d_sae)
            found["strength"] = sums / (found[side] * len(some.values)).clamp(min=1)
    return found
