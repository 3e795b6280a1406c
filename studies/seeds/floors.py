"""Floors of the seed study: shared features where there is nothing to share."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.digest import digest
from faithful.base.progress import Reporter, counted
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.threshold import ThresholdSAE
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae
from faithful.training.identity import ALGORITHM
from studies.common.cache import ResultCache
from studies.common.codes import InTurn, Moments, code_text, moments_of, pooled
from studies.common.controls import untrained_sae
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.common.workers import study_crew
from studies.seeds.assignment import Rows
from studies.seeds.chance import FLOORS
from studies.seeds.config import SeedsConfig
from studies.seeds.gaussian import gaussian_saes, recorded_config
from studies.seeds.matching import (
    Directions,
    OnPanel,
    assign_alive,
    covariance_rows,
    curve_of,
    match,
    numbers_of,
    panel_figures,
    random_rows,
)
from studies.seeds.pairs import mean_of
from studies.seeds.summary import Floors, PairFigures

SHARED, OWN = ("floor_random", "floor_init"), ("floor_covariance", "floor_gaussian")
SMALL_WIDTH, DRAWS, DRAWS_WHEN_WIDE = 4096, 3, 2
VERSION = 3
Load = Callable[[], Autoencoder]


class FloorMaker:
    """Makes the floors of one shape.

    Every floor has the figures of the decoders. `floor_init` and `floor_gaussian` are SAEs, so that they have those of the
    encoders too, and with a panel those of the codes; random rows have neither encoders nor codes.

    Args:
        config: of the study.
        found: model, hook and device.
        panel: held-out text; None without corpora, and then no floor that needs activations.
        report: progress.
    """

    def __init__(self, config: SeedsConfig, found: StudyInput, panel: Panel | None, report: Reporter) -> None:
        self.config, self.found, self.panel, self.report = config, found, panel, report
        self._cache = ResultCache(config.out / "floors", VERSION, config.seed)
        self._moments: dict[str, Moments] = {}
        self._text = (
            None if panel is None else [found.spec.revision, found.spec.precision, found.hook.name, panel.sha256]
        )

    def __getstate__(self) -> object:
        """To be pickled: workers have progress of their own."""
        return vars(self) | {"report": None}

    def floors(self, saes: Sequence[TrainedSae], names: Sequence[str]) -> tuple[Floors, dict[str, list[str]]]:
        """The floors of each corpus, and the names of those that could not be made.

        `floor_random` and `floor_init` do not depend on the corpus and are the same for all. `floor_covariance` needs a
        panel, `floor_init` two SAEs whose init seed is recorded, `floor_gaussian` a panel and two SAEs of the corpus that
        the present training algorithm made, so that it can be repeated.

        Args:
            saes: of the shape, all corpora.
            names: corpora to make floors for.

        Returns:
            {corpus: {floor: figures}}, and {corpus: floors that were wanted and that it lacks}.
        """
        jobs = [(floor, name, tuple(saes)) for floor in SHARED for name in names[:1]]
        if self.panel is not None and names:
            jobs += [(floor, name, tuple(saes)) for name in names for floor in OWN]
            for name in {*names, *self.panel.parts}:
                self._moments_of(name)  # once, whoever needs them
        floors: Floors = {name: {} for name in names}
        with study_crew(FloorMaker.make, self, self.found, self.config.workers) as crew:
            for (floor, name, _), figures in zip(jobs, crew.run(jobs, self.report), strict=True):
                for one in names if floor in SHARED else [name]:
                    if figures is not None:
                        floors[one][floor] = figures
        wanted = [floor for floor in FLOORS if floor != "floor_gaussian" or self.config.gaussian_seeds]
        missing = {name: [floor for floor in wanted if floor not in floors[name]] for name in names}
        return floors, {name: floors_of for name, floors_of in missing.items() if floors_of}

    def make(self, job: tuple[str, str, tuple[TrainedSae, ...]], report: Reporter) -> PairFigures | None:
        """A floor of a corpus, for SAEs of one shape; None where it cannot be made."""
        floor, name, saes = job
        d_sae, d_in = saes[0].d_sae, saes[0].d_in
        draws = DRAWS if d_sae <= SMALL_WIDTH else DRAWS_WHEN_WIDE
        if floor == "floor_random":
            return self._of_rows(self._drawn([partial(random_rows, d_sae, d_in)] * draws))
        if floor == "floor_covariance":
            return self._of_rows(self._drawn([partial(covariance_rows, d_sae, self._moments_of(name).root)] * draws))
        if floor == "floor_init":
            begun = {sae.seed: sae for sae in saes if sae.seed is not None and sae.record}
            at = self._pooled(d_in)
            chosen = [begun[seed] for seed in sorted(begun)[:draws]]
            loads: list[Load] = [partial(untrained_sae, sae, at.mean, at.covariance) for sae in chosen]
        else:
            loads = self._gaussian([sae for sae in saes if sae.corpus == name], self._moments_of(name), report)
        return self._of_saes(loads) if len(loads) > 1 else None

    def random_pair(self, one: TrainedSae, other: TrainedSae) -> PairFigures:
        """`floor_random` of two widths."""
        return self._of_rows(self._drawn([partial(random_rows, sae.d_sae, sae.d_in) for sae in (one, other)]))

    def _drawn(self, draws: Sequence[Callable[[torch.Generator], Tensor]]) -> list[Rows]:
        """Draws one after the other with the study's seed, each made anew when it is asked for."""
        generator = torch.Generator().manual_seed(self.config.seed)
        found: list[Rows] = []
        for draw in draws:
            found.append(partial(_draw, draw, generator.get_state()))
            draw(generator)
        return found

    def _moments_of(self, name: str) -> Moments:
        """Moments of the activations on a corpus' part of the panel; on the whole panel where it has no part."""
        assert self.panel is not None
        part = name if name in self.panel.parts else ""
        if part not in self._moments:
            rows = self.panel.parts[part] if part else self.panel.rows
            self._moments[part] = moments_of(self.found.truncated, rows, self.panel.ordinary)
        return self._moments[part]

    def _pooled(self, d_in: int) -> Moments:
        """Moments of the activations on the panel; of none without a panel."""
        if self.panel is None:
            return Moments(torch.zeros(d_in), torch.zeros(d_in, d_in, dtype=torch.float64), 0)
        return pooled([self._moments_of(name) for name in self.panel.parts])

    def _of_rows(self, decoders: Sequence[Rows]) -> PairFigures:
        """Mean figures over all pairs of decoders, kept by their hash."""
        return self._cache.once(
            lambda: self._figures([Directions(partial(self._moved, rows)) for rows in decoders]),
            [hashlib.sha256(rows().numpy().data).hexdigest() for rows in decoders],
        )

    def _of_saes(self, saes: Sequence[Load]) -> PairFigures:
        """The same over all pairs of SAEs, those on the panel included."""

        def measure() -> PairFigures:
            seen = None
            if self.panel is not None:
                coded = code_text(self.found.truncated, InTurn(saes), self.panel.rows, self.panel.ordinary)
                seen = [OnPanel.of(codes) for codes in coded.codes]
            return self._figures([self._directions(load) for load in saes], seen)

        return self._cache.once(measure, [self._text, [(sae.sha256(), sae.k) for sae in (load() for load in saes)]])

    def _moved(self, rows: Rows) -> Tensor:
        return rows().to(self.found.device)

    def _directions(self, load: Load) -> Directions:
        device = self.found.device
        return Directions(lambda: load().W_dec.to(device), lambda: load().W_enc.to(device).T)

    def _figures(self, directions: Sequence[Directions], seen: Sequence[OnPanel] | None = None) -> PairFigures:
        """Mean figures over all pairs, `sfr_curve` point by point; `assignment_gap` is the largest one."""
        found: list[PairFigures] = []
        gaps = []
        for i, j in combinations(range(len(directions)), 2):
            one = match(directions[i], directions[j])
            figures = one.figures()
            if seen is not None:
                decoders = directions[i].decoder, directions[j].decoder
                alive = assign_alive(decoders, (seen[i].density, seen[j].density))
                figures |= panel_figures(one.partners, alive, (seen[i], seen[j]), decoders, self.config.seed)
            found.append(figures)
            gaps.append(one.assignment.proof.gap)
        numbers = [numbers_of(one) for one in found]
        means = {metric: mean_of([one[metric] for one in numbers]) for metric in numbers[0]}
        curve = np.mean([curve_of(one) for one in found], axis=0).tolist()
        return {**means, "sfr_curve": curve, "pairs": len(found), "assignment_gap": max(gaps)}

    def _gaussian(self, saes: Sequence[TrainedSae], moments: Moments, report: Reporter) -> list[Load]:
        """SAEs trained on Gaussian activations as a corpus' SAEs were on its own."""
        recorded = [
            (sae, sae.seed)
            for sae in saes
            if sae.seed is not None and sae.record.get("identity", {}).get("algorithm") == ALGORITHM
        ]
        seeds = [seed for _, seed in recorded][: self.config.gaussian_seeds]
        if len(seeds) < 2:
            return []
        cell = recorded[0][0]
        identity, steps = cell.record["identity"], cell.record["training"]["step"]
        steps = min(steps, self.config.gaussian_steps or steps)
        settings = recorded_config(cell.record, len(moments.mean), steps, seeds)
        if settings is None:
            return []

        def train(checkpoint: Path) -> list[dict[str, Tensor | int]]:
            trained = gaussian_saes(
                moments, settings, identity["batch"], self.config.seed, self.found.device,
                counted(report, f"gaussian floor {cell.corpus}", "steps"), checkpoint,
            )  # fmt: skip
            own = ({} if sae.k is None else {"k": sae.k} for sae in trained)
            return [{name: getattr(sae, name) for name in sae.tensors} | k for sae, k in zip(trained, own, strict=True)]

        numbers = digest(moments.tokens, moments.covariance.numpy().tobytes(), moments.mean.numpy().tobytes())
        key = identity, list(seeds), steps, numbers
        return [partial(self._trained, train, key, place) for place in range(len(seeds))]

    def _trained(self, train: Callable[[Path], Any], key: Sequence[Any], place: int) -> Autoencoder:
        """One of SAEs that are trained together where they are not kept."""
        kept = self._cache.tensors(train, *key)[place]
        return TopKSAE(**kept) if "k" in kept else ThresholdSAE(**kept)


def _draw(draw: Callable[[torch.Generator], Tensor], state: Tensor) -> Tensor:
    """What was drawn with a generator in this state."""
    generator = torch.Generator()
    generator.set_state(state)
    return draw(generator)
