"""Measures SAEs: how their latents fire on both texts, and what the model answers under every setting and its controls."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch

from faithful.base.digest import digest
from faithful.base.progress import Progress, Reporter, counted, silent
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae
from studies.common.cache import ResultCache
from studies.common.codes import Codes, InTurn, Moments, code_text, moments_of
from studies.common.controls import PERMUTED, UNTRAINED, has_untrained, made_controls
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import Job, jobs_of, study_crew
from studies.unlearning.choose import SIDES, Answers, choose
from studies.unlearning.clamp import Clamp, Firing, answered
from studies.unlearning.config import UnlearningConfig
from studies.unlearning.questions import Asked

FORMAT = 2
FIRING, CLAMPED, RANDOM = "firing", "clamped", "random latents"
CONTROLS = (RANDOM, PERMUTED, UNTRAINED)


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
            config.out / "cells", FORMAT, spec.revision, spec.dtype, found.hook.name, panel.sha256, texts,
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
                left = self._cells.lacking(saes, CLAMPED)
                for done, _ in enumerate(crew.each([(CLAMPED, (sae,)) for sae in left], silent)):
                    report(Progress("questions", done + 1, len(left), "SAEs"))
                return [self._cells.kept(sae, CLAMPED) for sae in saes]

            return self._cells.figures(self.found.saes, measure)

    def do(self, job: Job, report: Reporter) -> None:
        """Read both texts for some SAEs, or ask all questions under an SAE's settings; keep what comes of it."""
        what, saes = job
        if what == FIRING:
            starts = [sae for sae in saes if has_untrained(sae)]
            loads = InTurn([*(sae.load for sae in saes), *(partial(self._start, sae) for sae in starts)])
            tally = counted(report, "codes", "contexts")
            coded = code_text(self.found.truncated, loads, self.panel.rows, self.panel.ordinary, tally)
            sides = self.panel.part_of_rows()[coded.owners]
            of_starts = dict(zip(starts, coded.codes[len(saes) :], strict=True))
            for sae, codes in zip(saes, coded.codes, strict=False):
                begun = {UNTRAINED: _firing(of_starts[sae], sides)} if sae in of_starts else {}
                self._cells.keep(sae, FIRING, {"trained": _firing(codes, sides)} | begun)
        else:
            (sae,) = saes
            kept = self._cells.kept(sae, FIRING)
            firings = {
                name: Firing(*(of[one].numpy() for one in ("forget", "retain", "strength")))
                for name, of in kept.items()
            }
            self._cells.keep(sae, CLAMPED, self._ask(sae, firings))

    def _start(self, sae: TrainedSae) -> Autoencoder:
        return made_controls(sae, self.moments, self.seed)[UNTRAINED]

    def _ask(self, trained: TrainedSae, firings: Mapping[str, Firing]) -> UnlearnedCell:
        """Every setting, what is chosen among them, and the controls: under what was chosen, but an untrained start, which is
        measured as the SAE is, under what is chosen for itself."""
        made = made_controls(trained, self.moments if UNTRAINED in firings else None, self.seed)
        made = {name: one.to(device=self.found.device) for name, one in ({"": trained.load()} | made).items()}
        sae, firing = made[""], firings["trained"]
        clamps = self._clamps(firing)
        asked = {"": (sae, clamps)}
        if UNTRAINED in firings:
            asked[UNTRAINED] = made[UNTRAINED], self._clamps(firings[UNTRAINED])
        clean, every = {}, {}
        for side in SIDES:
            clean[side], every[side] = self._answered(side, asked)
        clamped = {side: under[""] for side, under in every.items()}
        chosen = self._chosen(clean, clamped)
        used = [None if place is None else (clamps[place], self.settings[place].multiplier) for place in chosen]
        nothing = Clamp(np.zeros(0, np.int64), np.zeros(0, np.float32))
        same = [nothing if one is None else one[0] for one in used]
        random = [
            nothing if one is None else _clamp(firing, firing.like(one[0].latents, self.seed), one[1]) for one in used
        ]
        others = {RANDOM: (sae, random), PERMUTED: (made[PERMUTED], same)}
        controls: dict[str, dict[str, list[list[int]]]] = {name: {} for name in others}
        for side in SIDES:
            for name, right in self._answered(side, others)[1].items():
                controls[name][side] = right.astype(int).tolist()
        if UNTRAINED in firings:
            begun = {side: under[UNTRAINED] for side, under in every.items()}
            places = self._chosen(clean, begun)
            controls[UNTRAINED] = {
                side: [(clean[side] if place is None else begun[side][place]).astype(int).tolist() for place in places]
                for side in SIDES
            }
        return {
            "chosen": list(chosen),
            "clean": {side: right.astype(int).tolist() for side, right in clean.items()},
            "clamped": {side: right.astype(int).tolist() for side, right in clamped.items()},
            "controls": controls,
        }

    def _clamps(self, firing: Firing) -> list[Clamp]:
        return [_clamp(firing, firing.chosen(one.threshold, one.latents), one.multiplier) for one in self.settings]

    def _chosen(
        self, clean: Mapping[str, np.ndarray], clamped: Mapping[str, np.ndarray]
    ) -> tuple[int | None, int | None]:
        of = [Answers(clean[side], clamped[side], self.second[side]) for side in SIDES]
        return choose(of[0], of[1], self.allowed)

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
