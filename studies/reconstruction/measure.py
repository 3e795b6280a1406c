"""What replacing activations by an SAE's reconstruction does, measured text by text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faithful.activations.quality import Quality, Spliced, splice_contexts
from faithful.activations.stream import kept_activations
from faithful.base.progress import Progress, Reporter
from faithful.executor.jobs import Crew
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from faithful.store.saes import TrainedSae, ordered_shapes
from studies.common.cache import ResultCache
from studies.common.codes import ROWS_AT_ONCE, ROWS_PER_FORWARD, Moments, moments_of
from studies.common.controls import ControlSae, control_saes
from studies.common.inputs import WHOLE_PANEL, StudyInput
from studies.common.panel import Panel
from studies.common.workers import jobs_of, study_crew
from studies.reconstruction.config import ReconstructionConfig
from studies.reconstruction.summary import RebuiltCell

FORMAT = 3
ROWS_ON_CPU = 4
PANEL, REBUILT = WHOLE_PANEL, ""
"""What stands for all of the text, and for the pass without losses, in the place of a part: no corpus is called so."""


class _Reduced:
    """An SAE that keeps its `k` largest codes; None keeps all."""

    def __init__(self, sae: Autoencoder, k: int | None) -> None:
        self.sae, self.k = sae, k

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.of(*self.sae.encode_sparse(x))

    def of(self, values: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of given codes."""
        if self.k is None or self.k >= values.shape[1]:
            return values, latents
        kept = torch.topk(values, self.k, dim=1)
        return kept.values, latents.gather(1, kept.indices)

    def decode(self, codes: tuple[Tensor, Tensor]) -> Tensor:
        return decode(codes[0], codes[1], self.sae.W_dec) + self.sae.b_dec


class Bench:
    """Measures SAEs that are not measured yet, and controls of those of the first shape, all from shared forward passes.

    Attributes:
        controls: they are measured with all their latents alone.
    """

    def __init__(self, config: ReconstructionConfig, found: StudyInput, panel: Panel) -> None:
        self.config, self.found, self.panel = config, found, panel
        identity = [FORMAT, list(config.ks), found.spec.revision, found.spec.precision, found.hook.name, panel.sha256]
        self._cells = ResultCache(config.out / "cells", *identity)
        self._loaded: dict[TrainedSae, list[_Reduced]] = {}
        first = next(iter(ordered_shapes(found.saes).values()))
        self.controls = control_saes(first, config.controls, config.seed)

    def __getstate__(self) -> object:
        """To be pickled: without what is loaded."""
        return vars(self) | {"_loaded": {}}

    @property
    def reused(self) -> int:
        """SAEs, controls among them, whose figures were there already."""
        return self._cells.reused

    @cached_property
    def moments(self) -> Moments:
        """Of the activations of the panel."""
        return moments_of(self.found.truncated, self.panel.rows, self.panel.ordinary)

    def cells(self, report: Reporter) -> dict[str, RebuiltCell]:
        """Of every SAE by its hash: `figures` {place: {k: {metric: value}}}, `contexts` {part: {k: {loss: [contexts]}}}."""
        with study_crew(Bench.read, self, self.found, self.config.workers) as crew:
            every = [*self.found.saes, *self.controls]
            return self._cells.figures(every, lambda saes: self._measure(saes, crew, report))

    def _measure(self, saes: Sequence[TrainedSae], crew: Crew, report: Reporter) -> Iterator[RebuiltCell]:
        """Two passes over each part of the panel, of which each is kept when it ends; then the figures, SAE by SAE."""
        if crew.inherits:
            self._load(saes)
        *_, last = self.panel.parts
        sums = jobs_of([(REBUILT, self._lacking(saes, REBUILT))], crew.count)
        crew.run([(*job, None) for job in sums], report)
        mean = self._kept_sums(saes[0], last, "panel")[0].mean.cpu().numpy()
        texts = [(name, self._lacking(saes, name)) for name in self.panel.parts]
        crew.run([(*job, mean) for job in jobs_of(texts, crew.count)], report)
        for sae in saes:
            yield self._figures(sae)

    def _lacking(self, saes: Sequence[TrainedSae], text: str) -> tuple[TrainedSae, ...]:
        """SAEs that a pass is still to be made for: with them in the model's way, or any of those before."""
        reads = [f"sums of {name}" for name in self.panel.parts] if text == REBUILT else [f"losses on {text}"]
        left = {sae for read in reads for sae in self._cells.lacking(saes, read)}
        return tuple(sae for sae in saes if sae in left)

    @torch.no_grad()
    def read(self, job: tuple[str, tuple[TrainedSae, ...], np.ndarray | None], report: Reporter) -> None:
        """Make a pass with some SAEs, and keep what comes of it."""
        text, saes, mean = job
        reduced = dict(zip(saes, self._load(saes), strict=True))
        if mean is None:
            self._rebuild(reduced, report)
            return
        rows, flat = self.panel.parts[text], [one for of_sae in reduced.values() for one in of_sae]
        found = splice_contexts(
            self.found.model,
            self.found.hook,
            flat,
            rows,
            torch.from_numpy(mean),
            self.panel.ordinary,
            self._rows_at_once,
            lambda done: report(Progress(f"cross-entropy on {text}", done, len(rows), "contexts")),
        )
        for sae, of_sae in reduced.items():
            mine, found = found[: len(of_sae)], found[len(of_sae) :]
            self._cells.keep(sae, f"losses on {text}", [_plain(one) for one in mine])

    def _load(self, saes: Sequence[TrainedSae]) -> list[list[_Reduced]]:
        """Of each SAE what it is with each k."""
        for sae in saes:
            if sae not in self._loaded:
                one = sae.make(self.moments) if isinstance(sae, ControlSae) else sae.load()
                one = one.to(device=self.found.truncated.device)
                self._loaded[sae] = [_Reduced(one, k) for k in self._levels(sae)]
        return [self._loaded[sae] for sae in saes]

    def _figures(self, sae: TrainedSae) -> RebuiltCell:
        """An SAE's figures by place and k, and the losses of each context of each part by k."""
        parts = {name: self._cells.kept(sae, f"losses on {name}") for name in self.panel.parts}
        qualities = {name: self._kept_sums(sae, name, "part") for name in parts}
        qualities[PANEL] = self._kept_sums(sae, list(parts)[-1], "panel")
        losses = {name: [one["losses"] for one in of_k] for name, of_k in parts.items()}
        losses[PANEL] = [_pooled(of_k) for of_k in zip(*losses.values(), strict=True)]
        names = [str(k or "all") for k in self._levels(sae)]
        return {
            "figures": {
                name: {
                    k: {
                        metric: value if math.isfinite(value) else None
                        for metric, value in (quality.result() | lost).items()
                    }
                    for k, quality, lost in zip(names, of_name, losses[name], strict=True)
                }
                for name, of_name in qualities.items()
            },
            "contexts": {
                name: {k: one["contexts"] for k, one in zip(names, of_k, strict=True)} for name, of_k in parts.items()
            },
        }

    @property
    def _rows_at_once(self) -> int | None:
        """Contexts per forward pass: on a CPU few, so that their logits stay near; on a GPU as many as fit."""
        return ROWS_ON_CPU if self.found.device == "cpu" else None

    def _levels(self, sae: TrainedSae) -> list[int | None]:
        """The k of each divisor, the largest first, each once; None alone where the number of active latents is free."""
        k, by = sae.outline.k, sorted(self.config.ks)[: 1 if isinstance(sae, ControlSae) else None]
        return [None] if k is None else [*dict.fromkeys(max(1, k // one) for one in by)]

    def _qualities(self, sae: TrainedSae) -> list[Quality]:
        """A sum for each k, of nothing yet: that needs no weights."""
        return [Quality(sae.d_in, sae.d_sae, self.found.device) for _ in self._levels(sae)]

    def _kept_sums(self, sae: TrainedSae, name: str, which: str) -> list[Quality]:
        """What was kept of a `part`, or of the `panel` up to it, with each k."""
        found, device = self._qualities(sae), self.found.device
        for quality, kept in zip(found, self._cells.kept(sae, f"sums of {name}")[which], strict=True):
            vars(quality).update({key: one.to(device) if isinstance(one, Tensor) else one for key, one in kept.items()})
        return found

    def _rebuild(self, reduced: Mapping[TrainedSae, Sequence[_Reduced]], report: Reporter) -> None:
        """The sums of each part, and those of the panel up to it.

        The codes are computed once for all divisors.
        """
        wholes = {sae: self._qualities(sae) for sae in reduced}
        for name, rows in self.panel.parts.items():
            read = f"sums of {name}"
            left = self._cells.lacking(reduced, read)
            parts = {sae: self._qualities(sae) for sae in left}
            for first in range(0, len(rows) if left else 0, ROWS_AT_ONCE):
                chunk = rows[first : first + ROWS_AT_ONCE]
                for _, native in kept_activations(self.found.truncated, chunk, self.panel.ordinary, ROWS_PER_FORWARD):
                    h = native.float()
                    for sae in left:
                        full = reduced[sae][0].sae.encode_sparse(h)
                        for one, part, whole in zip(reduced[sae], parts[sae], wholes[sae], strict=True):
                            codes = one.of(*full)
                            h_hat = one.decode(codes)
                            part.update(h, h_hat, codes, whole)
                report(Progress(f"reconstruction of {name}", first + len(chunk), len(rows), "contexts"))
            for sae in left:
                both = {"part": parts[sae], "panel": wholes[sae]}
                self._cells.keep(sae, read, {which: [vars(one) for one in sums] for which, sums in both.items()})
            for sae in reduced.keys() - set(left):
                wholes[sae] = self._kept_sums(sae, name, "panel")


def _pooled(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Losses over several texts, weighted by their scored tokens, nan without any; what is derived is derived anew."""
    weights = np.array([part["scored_tokens"] for part in parts], np.float64)
    names = ("ce_clean", "ce_sae", "ce_zero", "ce_mean", "kl")
    found = {
        name: float(np.average([part[name] for part in parts], weights=weights)) if weights.any() else math.nan
        for name in names
    }
    clean, with_sae, zero = found["ce_clean"], found["ce_sae"], found["ce_zero"]
    return found | {
        "ce_diff": with_sae - clean,
        "ce_recovered": (zero - with_sae) / (zero - clean) if zero != clean else math.nan,
        "scored_tokens": float(weights.sum()),
    }


def _plain(spliced: Spliced) -> dict[str, object]:
    """As JSON."""
    return {"losses": spliced.losses, "contexts": {name: one.tolist() for name, one in spliced.contexts.items()}}
