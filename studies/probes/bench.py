"""What workers probe with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.progress import Reporter
from faithful.sae.autoencoder import Autoencoder
from studies.common.codes import moments_of
from studies.common.controls import untrained_sae
from studies.common.inputs import StudyInput
from studies.common.panel import ordinary_ids
from studies.probes.features import pool_batch
from studies.probes.score import Plan, probe_cell
from studies.probes.tasks.examples import TaskData


class Bench:
    """What workers probe with: the model and SAEs of a study, its tasks and how each is probed, the pooling of features."""

    def __init__(self, found: StudyInput, data: dict[str, TaskData], plans: dict[str, Plan], pooling: str) -> None:
        self.found, self.data, self.plans, self.pooling = found, data, plans, pooling
        self.ordinary = ordinary_ids(found.spec)
        self._loaded: dict[int, Autoencoder] = {}

    def __getstate__(self) -> dict[str, object]:
        """To be pickled: without what is loaded."""
        return vars(self) | {"_loaded": {}}

    def load(self, places: Sequence[int], mean: Tensor | None = None) -> list[Autoencoder]:
        """SAEs by their places in the study, each loaded once; behind all of them their untrained starts.

        Args:
            places: in the study.
            mean: of the activations, [d_in], around which the starts are.
        """
        for place in places:
            if place not in self._loaded:
                sae = self.found.saes[place % len(self.found.saes)]
                is_start = place >= len(self.found.saes)
                self._loaded[place] = untrained_sae(sae, mean) if is_start and mean is not None else sae.load()
        return [self._loaded[place] for place in places]

    @torch.no_grad()
    def of_bos(self, place: int | None) -> np.ndarray:
        """The activation of BOS, or its codes of an SAE, float32 [d]: it begins every context."""
        h = self.found.truncated(torch.tensor([[self.found.spec.bos_id]], device=self.found.device))[0]
        x = h if place is None else self.load([place])[0].to(device=self.found.device).encode(h)
        return np.asarray(x[0].float().cpu().numpy())

    def do(self, job: tuple[Any, Any], report: Reporter) -> Any:
        """The features of ((SAEs, mean activation), a batch of contexts); the entries of `probe_cell` of (a task, its
        inputs); the mean activation of (None, contexts)."""
        what, given = job
        if what is None:
            return moments_of(self.found.truncated, given, self.ordinary).mean.float()
        if isinstance(what, str):
            return probe_cell(given, self.data[what], self.plans[what], ("h", "f"))
        return pool_batch(self.found.truncated, self.load(*what), given, self.ordinary, self.pooling)
