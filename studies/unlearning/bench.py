"""Measures SAEs: how their latents fire on both texts, and what the model answers under every setting and its controls."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch

from faithful.base.digest import digest
from faithful.base.progress import Progress, Reporter, counted, silent
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.codes import Codes, InTurn, code_text
from studies.common.controls import PERMUTED, permuted_sae
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import Job, jobs_of, study_crew
from studies.unlearning.choose import SIDES, Answers, choose
from studies.unlearning.clamp import Clamp, Firing, answered
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.questions import Asked

FORMAT = 1
FIRING, CLAMPED, RANDOM = "firing", "clamped", "random latents"
CONTROLS = (RANDOM, PERMUTED)


class Setting(NamedTuple):
    """What is clamped, and to what."""

    threshold: float
    latents: int
    multiplier: float


class UnlearnedCell(TypedDict):
    """Of an SAE the settings that are scored on the first and on the second half (None where none unlearns); by side which
    questions are answered rightly as the model is, under each setting, and under the chosen ones with each control."""

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
        texts = digest([[row.tolist() for row in one.rows] + one.target.tolist() for one in asked.values()])
        spec = found.spec
        self._cells = ResultCache(
            config.out / "cells", FORMAT, spec.revision, spec.dtype, found.hook.name, panel.sha256, texts,
            [list(one) for one in self.settings], config.allowed, config.seed,
        )  # fmt: skip

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self, workers: int, report: Reporter = silent) -> dict[str, UnlearnedCell]:
        """Of every SAE by its hash."""
        with study_crew(Bench.do, self, self.found, workers) as crew:

            def measure(saes: list[TrainedSae]) -> Sequence[UnlearnedCell]:
                if crew.inherits:
                    self.found.truncated  # noqa: B018 (loaded here once)
                crew.run(jobs_of([(FIRING, tuple(self._cells.lacking(saes, FIRING)))], workers), report)
                left = self._cells.lacking(saes, CLAMPED)
                for done, _ in enumerate(crew.each([(CLAMPED, (sae,)) for sae in left], silent)):
                    report(Progress("questions", done + 1, len(left), "SAEs"))
                return [self._cells.kept(sae, CLAMPED) for sae in saes]

            return self._cells.figures(self.found.saes, measure)

    def do(self, job: Job, report: Reporter) -> None:
        """Read both texts for some SAEs, or ask all questions under an SAE's settings; keep what comes of it."""
        what, saes = job
        if what == FIRING:
            loads = InTurn([sae.load for sae in saes])
            tally = counted(report, "codes", "contexts")
            coded = code_text(self.found.truncated, loads, self.panel.rows, self.panel.ordinary, tally)
            sides = self.panel.part_of_rows()[coded.owners]
            for sae, codes in zip(saes, coded.codes, strict=True):
                self._cells.keep(sae, FIRING, _firing(codes, sides))
        else:
            (sae,) = saes
            kept = self._cells.kept(sae, FIRING)
            firing = Firing(*(kept[name].numpy() for name in ("forget", "retain", "strength")))
            self._cells.keep(sae, CLAMPED, self._ask(sae.load().to(device=self.found.device), firing))

    def _ask(self, sae: Autoencoder, firing: Firing) -> UnlearnedCell:
        """Every setting, what is chosen among them, and the controls under what was chosen."""
        clamps = [_clamp(firing, firing.chosen(one.threshold, one.latents), one.multiplier) for one in self.settings]
        clean, clamped = {}, {}
        for side in SIDES:
            clean[side], under = self._answered(side, {"": (sae, clamps)})
            clamped[side] = under[""]
        of = {side: Answers(clean[side], clamped[side], self.second[side]) for side in SIDES}
        chosen = choose(of["forget"], of["retain"], self.allowed)
        used = [None if place is None else (clamps[place], self.settings[place].multiplier) for place in chosen]
        nothing = Clamp(np.zeros(0, np.int64), np.zeros(0, np.float32))
        same = [nothing if one is None else one[0] for one in used]
        random = [
            nothing if one is None else _clamp(firing, firing.like(one[0].latents, self.seed), one[1]) for one in used
        ]
        others = {RANDOM: (sae, random), PERMUTED: (permuted_sae(sae, self.seed), same)}
        controls: dict[str, dict[str, list[list[int]]]] = {name: {} for name in others}
        for side in SIDES:
            for name, right in self._answered(side, others)[1].items():
                controls[name][side] = right.astype(int).tolist()
        return {
            "chosen": list(chosen),
            "clean": {side: right.astype(int).tolist() for side, right in clean.items()},
            "clamped": {side: right.astype(int).tolist() for side, right in clamped.items()},
            "controls": controls,
        }

    def _answered(self, side: str, saes: Mapping[str, tuple[Autoencoder, Sequence[Clamp]]]) -> Any:
        return answered(self.found.model, self.found.hook, self.asked[side], self.panel.ordinary, saes)


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
