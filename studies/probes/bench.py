"""What workers probe with."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from faithful.base.progress import Reporter
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae
from studies.common.codes import Moments, moments_of
from studies.common.controls import ControlSae
from studies.common.inputs import StudyInput
from studies.common.panel import Panel, ordinary_ids
from studies.probes.features import pool_batch
from studies.probes.score import Plan, probe_cell
from studies.probes.tasks.examples import TaskData


class Bench:
    """What workers probe with: the model and SAEs of a study, untrained starts among them, its held-out text, its tasks and
    how each is probed, the pooling of features."""

    def __init__(
        self,
        found: StudyInput,
        saes: Sequence[TrainedSae],
        panel: Panel | None,
        data: dict[str, TaskData],
        plans: dict[str, Plan],
        pooling: str,
    ) -> None:
        self.found, self.saes, self.panel = found, saes, panel
        self.data, self.plans, self.pooling = data, plans, pooling
        self.ordinary = ordinary_ids(found.spec)
        self._loaded: dict[int, Autoencoder] = {}

    def __getstate__(self) -> dict[str, object]:
        """To be pickled: without what is loaded."""
        return vars(self) | {"_loaded": {}}

    @cached_property
    def moments(self) -> Moments:
        """Of the activations of the held-out text, which the untrained starts are for."""
        assert self.panel is not None
        return moments_of(self.found.truncated, self.panel.rows, self.ordinary)

    def load(self, places: Sequence[int]) -> list[Autoencoder]:
        """SAEs by their places in the study, each loaded or made once."""
        for place in places:
            if place not in self._loaded:
                sae = self.saes[place]
                self._loaded[place] = sae.make(self.moments) if isinstance(sae, ControlSae) else sae.load()
        return [self._loaded[place] for place in places]

    @torch.no_grad()
    def of_bos(self, place: int | None) -> np.ndarray:
        """The activation of BOS, or its codes of an SAE, float32 [d]: it begins every context."""
        h = self.found.truncated(torch.tensor([[self.found.spec.bos_id]], device=self.found.device))[0]
        x = h if place is None else self.load([place])[0].to(device=self.found.device).encode(h)
        return np.asarray(x[0].float().cpu().numpy())

    def do(self, job: tuple[Any, Any], report: Reporter) -> Any:
        """The features of (places of SAEs, a batch of contexts); the entries of `probe_cell` of (a task, its inputs)."""
        what, given = job
        if isinstance(what, str):
            return probe_cell(given, self.data[what], self.plans[what], ("h", "f"))
        return pool_batch(self.found.truncated, self.load(what), given, self.ordinary, self.pooling)
