"""Floors of the seed study: shared features where there is nothing to share."""

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.files import write_atomically
from faithful.train_config import ALGORITHM
from studies.floors import Moments, gaussian_saes, initial_decoder, moments_of
from studies.grid import Trained
from studies.inputs import StudyInput
from studies.matching import Directions, covariance_rows, match, random_rows
from studies.panel import Panel
from studies.seeds_pairs import mean_of

FLOORS = ("floor_random", "floor_covariance", "floor_init", "floor_gaussian")
SMALL_WIDTH, DRAWS, DRAWS_WHEN_WIDE = 4096, 3, 2
VERSION = 2

Told = Callable[[str, int, int], None]
Floors = dict[str, dict[str, dict[str, Any]]]


class FloorMaker:
    """Makes the floors of one shape.

    Args:
        found: model, hook and device of the study.
        panel: held-out text; None without corpora, and then no floor that needs activations.
        seed: of all draws.
        gaussian_seeds: SAEs trained per corpus on Gaussian activations; below 2 there is no `floor_gaussian`.
        gaussian_steps: at most so many steps of each; None is as many as the corpus' SAEs were trained.
        folder: where those are kept.
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
        report: Told,
    ) -> None:
        self.found, self.panel, self.seed, self.folder, self.report = found, panel, seed, folder, report
        self.gaussian_seeds, self.gaussian_steps = gaussian_seeds, gaussian_steps
        self._moments: dict[str, Moments] = {}

    def floors(self, saes: Sequence[Trained], names: Sequence[str]) -> tuple[Floors, dict[str, list[str]]]:
        """Each floor's figures by corpus, those without a cause of their own per corpus equal for all; and the floors that
        each corpus lacks: `floor_init` and `floor_gaussian` need two SAEs whose seeds and training are recorded, the
        latter training as it is now; `floor_covariance` needs a panel."""
        d_sae, d_in = saes[0].d_sae, saes[0].d_in
        draws = DRAWS if d_sae <= SMALL_WIDTH else DRAWS_WHEN_WIDE
        generator = torch.Generator().manual_seed(self.seed)
        shared = {"floor_random": self._figures([random_rows(d_sae, d_in, generator) for _ in range(draws)])}
        seeds = sorted({sae.seed for sae in saes if sae.seed is not None and sae.record})
        if len(seeds) > 1:
            shared["floor_init"] = self._figures([initial_decoder(seed, d_in, d_sae) for seed in seeds[:draws]])
        floors: Floors = {name: dict(shared) for name in names}
        for name in names if self.panel is not None else []:
            moments = self._moments_of(name)
            rows = [covariance_rows(d_sae, moments.covariance, generator) for _ in range(draws)]
            floors[name]["floor_covariance"] = self._figures(rows)
            trained = self._gaussian([sae for sae in saes if sae.corpus == name], moments)
            if len(trained) > 1:
                floors[name]["floor_gaussian"] = self._figures(trained)
        missing = {name: [floor for floor in FLOORS if floor not in floors[name]] for name in names}
        return floors, {name: floors_of for name, floors_of in missing.items() if floors_of}

    def random_pair(self, one: Trained, other: Trained) -> dict[str, Any]:
        """`floor_random` of two widths."""
        generator = torch.Generator().manual_seed(self.seed)
        return self._figures([random_rows(sae.d_sae, sae.d_in, generator) for sae in (one, other)])

    def _moments_of(self, name: str) -> Moments:
        """Of the activations on a corpus' part of the panel; on the whole panel where it has none."""
        assert self.panel is not None
        part = name if name in self.panel.parts else ""
        if part not in self._moments:
            rows = self.panel.parts[part] if part else self.panel.rows
            self._moments[part] = moments_of(self.found.truncated, rows, self.panel.ordinary)
        return self._moments[part]

    def _figures(self, decoders: Sequence[Tensor]) -> dict[str, Any]:
        """Mean figures over all pairs of decoders."""
        moved = [rows.to(self.found.device) for rows in decoders]
        found = [match(Directions(one), Directions(other)).figures() for one, other in combinations(moved, 2)]
        return {
            "shared_feature_ratio": mean_of([one["shared_feature_ratio"] for one in found]),
            "pw_mcc": mean_of([one["pw_mcc"] for one in found]),
            "sfr_curve": np.mean([one["sfr_curve"] for one in found], axis=0).tolist(),
            "pairs": len(found),
        }

    def _gaussian(self, saes: Sequence[Trained], moments: Moments) -> list[Tensor]:
        """Decoders trained on Gaussian activations as a corpus' SAEs were on its own."""
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
        path = self.folder / f"{self._key(identity, moments, seeds, steps)}.npy"
        if not path.exists():
            trained = gaussian_saes(
                moments, identity, steps, seeds, self.seed, self.found.device,
                lambda done, total: self.report(f"gaussian floor {cell.corpus}", done, total),
            )  # fmt: skip
            decoders = np.stack([sae.W_dec.cpu().numpy() for sae in trained])
            path.parent.mkdir(parents=True, exist_ok=True)

            def write(temporary: Path) -> None:
                with temporary.open("wb") as file:
                    np.save(file, decoders)

            write_atomically(path, write)
        return list(torch.from_numpy(np.load(path)))

    def _key(self, identity: dict[str, Any], moments: Moments, seeds: Sequence[int], steps: int) -> str:
        told = json.dumps([VERSION, identity, list(seeds), self.seed, steps], sort_keys=True)
        numbers = moments.covariance.numpy().tobytes() + moments.mean.numpy().tobytes()
        return hashlib.sha256(told.encode() + numbers).hexdigest()[:32]
