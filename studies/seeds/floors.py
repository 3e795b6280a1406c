"""Floors of the seed study: shared features where there is nothing to share."""

import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.digest import digest
from faithful.base.progress import Reporter, counted
from faithful.sae.autoencoder import TENSORS
from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae
from faithful.training.identity import ALGORITHM
from studies.common.cache import ResultCache
from studies.common.codes import Codes, code_text
from studies.common.controls import untrained_sae
from studies.common.gaussian import Moments, gaussian_saes, moments_of, recorded_config
from studies.common.inputs import StudyInput
from studies.common.panel import Panel
from studies.seeds.chance import FLOORS
from studies.seeds.matching import Directions, Match, assign_alive, covariance_rows, match, panel_figures, random_rows
from studies.seeds.pairs import mean_of
from studies.seeds.summary import Floors
from studies.statistics.records import Measures

SMALL_WIDTH, DRAWS, DRAWS_WHEN_WIDE = 4096, 3, 2
VERSION = 3


class FloorMaker:
    """Makes the floors of one shape.

    Every floor has the figures of the decoders. `floor_init` and `floor_gaussian` are SAEs, so that they have those of the
    encoders too, and with a panel those of the codes; random rows have neither encoders nor codes.

    Args:
        found: model, hook and device of the study.
        panel: held-out text; None without corpora, and then no floor that needs activations.
        seed: of all draws.
        gaussian_seeds: SAEs trained per corpus on Gaussian activations; below 2 there is no `floor_gaussian`.
        gaussian_steps: at most so many steps of each; None is as many as the corpus' SAEs were trained.
        folder: where those, and the figures of all floors, are kept.
        report: progress.
    """

    def __init__(
        self,
        found: StudyInput,
        panel: Panel | None,
        seed: int,
        gaussian_seeds: int,
        gaussian_steps: int | None,
        folder: Path,
        report: Reporter,
    ) -> None:
        self.found, self.panel, self.seed, self.report = found, panel, seed, report
        self.gaussian_seeds, self.gaussian_steps = gaussian_seeds, gaussian_steps
        self._cache = ResultCache(folder, VERSION, seed)
        self._moments: dict[str, Moments] = {}
        self._text = None if panel is None else [found.spec.revision, found.spec.dtype, found.hook.name, panel.sha256]

    def floors(self, saes: Sequence[TrainedSae], names: Sequence[str]) -> tuple[Floors, dict[str, list[str]]]:
        """The floors of each corpus, and the names of those that could not be made.

        `floor_random` and `floor_init` do not depend on the corpus and are the same for all. `floor_covariance` needs a
        panel, `floor_init` two SAEs whose init seed is recorded, `floor_gaussian` a panel and two SAEs of the corpus that
        the present training algorithm made, so that it can be repeated.

        Args:
            saes: of the shape, all corpora.
            names: corpora to make floors for.

        Returns:
            {corpus: {floor: figures}}, and {corpus: floors that it lacks}.
        """
        d_sae, d_in = saes[0].d_sae, saes[0].d_in
        draws = DRAWS if d_sae <= SMALL_WIDTH else DRAWS_WHEN_WIDE
        generator = self._generator()
        shared = {"floor_random": self._of_rows([random_rows(d_sae, d_in, generator) for _ in range(draws)])}
        begun = {sae.seed: sae for sae in saes if sae.seed is not None and sae.record}
        if len(begun) > 1:
            initial = [untrained_sae(begun[seed], self._mean(d_in)) for seed in sorted(begun)[:draws]]
            shared["floor_init"] = self._of_saes(initial)
        floors: Floors = {name: dict(shared) for name in names}
        for name in names if self.panel is not None else []:
            moments, generator = self._moments_of(name), self._generator()
            rows = [covariance_rows(d_sae, moments.covariance, generator) for _ in range(draws)]
            floors[name]["floor_covariance"] = self._of_rows(rows)
            trained = self._gaussian([sae for sae in saes if sae.corpus == name], moments)
            if len(trained) > 1:
                floors[name]["floor_gaussian"] = self._of_saes(trained)
        missing = {name: [floor for floor in FLOORS if floor not in floors[name]] for name in names}
        return floors, {name: floors_of for name, floors_of in missing.items() if floors_of}

    def random_pair(self, one: TrainedSae, other: TrainedSae) -> Measures:
        """`floor_random` of two widths."""
        generator = self._generator()
        return self._of_rows([random_rows(sae.d_sae, sae.d_in, generator) for sae in (one, other)])

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def _moments_of(self, name: str) -> Moments:
        """Moments of the activations on a corpus' part of the panel; on the whole panel where it has no part."""
        assert self.panel is not None
        part = name if name in self.panel.parts else ""
        if part not in self._moments:
            rows = self.panel.parts[part] if part else self.panel.rows
            self._moments[part] = moments_of(self.found.truncated, rows, self.panel.ordinary)
        return self._moments[part]

    def _mean(self, d_in: int) -> Tensor:
        """Mean activation on the panel, [d_in]; 0 without a panel."""
        if self.panel is None:
            return torch.zeros(d_in)
        parts = [self._moments_of(name) for name in self.panel.parts]
        return torch.stack([part.tokens * part.mean for part in parts]).sum(0) / sum(part.tokens for part in parts)

    def _of_rows(self, decoders: Sequence[Tensor]) -> Measures:
        """Mean figures over all pairs of decoders, kept by their hash."""
        key_parts = [hashlib.sha256(rows.numpy().data).hexdigest() for rows in decoders]
        return self._cache.once(
            lambda: self._figures([Directions(rows.to(self.found.device)) for rows in decoders]), key_parts
        )

    def _of_saes(self, saes: Sequence[TopKSAE]) -> Measures:
        """The same over all pairs of SAEs, those on the panel included."""

        def measure() -> Measures:
            moved = [sae.to(device=self.found.device) for sae in saes]
            codes = None
            if self.panel is not None:
                codes = code_text(self.found.truncated, moved, self.panel.rows, self.panel.ordinary).codes
            return self._figures([Directions(sae.W_dec, sae.W_enc.T) for sae in moved], codes)

        return self._cache.once(measure, [self._text, [(sae.sha256(), sae.k) for sae in saes]])

    def _figures(self, directions: Sequence[Directions], codes: Sequence[Codes] | None = None) -> Measures:
        """Mean figures over all pairs, `sfr_curve` point by point; `assignment_gap` is the largest one."""
        found, gaps = [], []
        for i, j in combinations(range(len(directions)), 2):
            one = match(directions[i], directions[j])
            figures = one.figures()
            if codes is not None:
                figures |= self._on_panel(one, (codes[i], codes[j]), (directions[i].decoder, directions[j].decoder))
            found.append(figures)
            gaps.append(one.assignment.proof.gap)
        means = {metric: mean_of([one[metric] for one in found]) for metric in found[0] if metric != "sfr_curve"}
        curve = np.mean([one["sfr_curve"] for one in found], axis=0).tolist()
        return means | {"sfr_curve": curve, "pairs": len(found), "assignment_gap": max(gaps)}

    def _on_panel(
        self, one: Match, codes: tuple[Codes, Codes], decoders: tuple[Tensor, Tensor]
    ) -> dict[str, float | None]:
        alive = assign_alive(decoders, (codes[0].density, codes[1].density))
        return panel_figures(one.partners, alive, codes, decoders, self.seed)

    def _gaussian(self, saes: Sequence[TrainedSae], moments: Moments) -> list[TopKSAE]:
        """SAEs trained on Gaussian activations as a corpus' SAEs were on its own."""
        recorded = [
            (sae, sae.seed)
            for sae in saes
            if sae.seed is not None and sae.record.get("identity", {}).get("algorithm") == ALGORITHM
        ]
        seeds = [seed for _, seed in recorded][: self.gaussian_seeds]
        if len(seeds) < 2:
            return []
        cell = recorded[0][0]
        identity, steps = cell.record["identity"], cell.record["training"]["step"]
        steps = min(steps, self.gaussian_steps or steps)
        config = recorded_config(cell.record, len(moments.mean), steps, seeds)
        if config is None:
            return []

        def train(checkpoint: Path) -> list[dict[str, Any]]:
            trained = gaussian_saes(
                moments, config, identity["batch"], self.seed, self.found.device,
                counted(self.report, f"gaussian floor {cell.corpus}", "steps"), checkpoint,
            )  # fmt: skip
            return [{name: getattr(sae, name) for name in (*TENSORS, "k")} for sae in trained]

        numbers = digest(moments.tokens, moments.covariance.numpy().tobytes(), moments.mean.numpy().tobytes())
        return [TopKSAE(**plain) for plain in self._cache.tensors(train, identity, list(seeds), steps, numbers)]
