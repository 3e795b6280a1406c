"""`faithful study reconstruction`: how well SAEs of each corpus rebuild the activations of every corpus, at k and below."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.activations import kept_activations
from faithful.errors import FaithfulError
from faithful.files import folder_lock
from faithful.metrics import Quality, Spliced, splice_contexts
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from studies import reconstruction_figures
from studies.cells import Cells
from studies.codes import ROWS_AT_ONCE, ROWS_PER_FORWARD, sparse_codes
from studies.configs import ReconstructionConfig
from studies.grid import Trained, ordered_shapes, seed_numbers
from studies.headlines import Parts
from studies.inference import estimate, summarise
from studies.inputs import StudyInput, resolve_input
from studies.panel import Panel, load_panel
from studies.reconstruction_tables import reconstruction_tables
from studies.resampled import Resampled, resample_counts
from studies.resolution import reconstruction_leaves_open
from studies.results import Row, write_results

Told = Callable[[str, int, int], None]
FORMAT = 3
PANEL = "panel"
ROWS_ON_CPU = 4
MATRICES = ("fvu", "ce_diff", "ce_recovered", "kl")
OF_LOSSES = ("ce_diff", "ce_recovered", "kl")


@dataclass(frozen=True)
class ReconstructionStudy:
    """What came out.

    Attributes:
        folder: where results.parquet, summary.json and the figures are.
        summary: what summary.json holds.
        reused: SAEs whose figures were there already.
    """

    folder: Path
    summary: dict[str, Any]
    reused: int = 0


def _silent(step: str, done: int, total: int) -> None:
    return None


def study_reconstruction(config: ReconstructionConfig, report: Told = _silent) -> ReconstructionStudy:
    """Measure every SAE on the held-out text of every corpus, and on all of it together (the panel).

    The headline is `ce_recovered` on matched and on foreign text (`studies.headlines`). Losses are kept per context: those
    metrics' intervals are over the contexts too, the same resample of which serves every SAE; those of `fvu` and the other
    figures of activations are over the seeds alone.

    The panel's figures come from its own sums over all parts, not from the parts' means. Per SAE and divisor one pass above
    the hook is made over the panel. What a part gave is kept at once, so that a killed study goes on with the next part; an
    SAE's figures are kept by its hash.

    Raises:
        FaithfulError: a divisor below 1, no divisor 1, and what `resolve_input` and `load_panel` refuse.
    """
    if 1 not in config.ks or min(config.ks) < 1:
        raise FaithfulError("The divisors of k are whole numbers of at least 1, 1 among them; write ks = [1, 2, 4].")
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    if warning := reconstruction_leaves_open(found, panel.tokens):
        report(warning, 0, 0)
    with folder_lock(config.out):
        bench = _Bench(config, found, panel, report)
        cells = bench.cells()
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        shapes = {
            name: _summary(found, panel, saes, cells, name == first, config.seed) for name, saes in groups.items()
        }
        summary = found.heading("reconstruction", config.seed) | {
            "shape": first,
            "sizes": {
                "saes": len(found.saes),
                "panel_tokens": panel.tokens,
                "k_divisors": list(config.ks),
                "context": found.context,
                "layout": found.layout,
            },
            **shapes[first],
            "shapes": shapes,
        }
        write_results(config.out, summary, _rows(found, cells))
        reconstruction_figures.draw(summary, config.out / "figures")
    return ReconstructionStudy(config.out, summary, bench.reused)


class _Reduced:
    """An SAE that keeps its `k` largest codes; None keeps all."""

    def __init__(self, sae: Autoencoder, k: int | None) -> None:
        self.sae, self.k = sae, k

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.of(*sparse_codes(self.sae, x))

    def of(self, values: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of given codes."""
        if self.k is None or self.k >= values.shape[1]:
            return values, latents
        kept = torch.topk(values, self.k, dim=1)
        return kept.values, latents.gather(1, kept.indices)

    def decode(self, codes: tuple[Tensor, Tensor]) -> Tensor:
        return decode(codes[0], codes[1], self.sae.W_dec) + self.sae.b_dec


class _Bench:
    """Measures SAEs that are not measured yet, all of them from shared forward passes."""

    def __init__(self, config: ReconstructionConfig, found: StudyInput, panel: Panel, report: Told) -> None:
        self.config, self.found, self.panel, self.report = config, found, panel, report
        identity = [FORMAT, list(config.ks), found.spec.revision, found.spec.dtype, found.hook.name, panel.sha256]
        self._cells = Cells(config.out / "cells", hashlib.sha256(json.dumps(identity).encode()).hexdigest())

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self) -> dict[str, dict[str, Any]]:
        """Of every SAE by its hash: `figures` {place: {k: {metric: value}}}, `contexts` {part: {k: {loss: [contexts]}}}."""
        return self._cells.figures(self.found.saes, self._measure)

    @torch.no_grad()
    def _measure(self, saes: Sequence[Trained]) -> Iterator[dict[str, Any]]:
        """Two passes over each part of the panel, of which each is kept when it ends; then the figures, SAE by SAE."""
        device = self.found.truncated.device
        loaded = {sae: sae.load().to(device=device) for sae in saes}
        levels = {
            sae: [None if one.k is None else max(1, one.k // by) for by in self._divisors(one)]
            for sae, one in loaded.items()
        }
        reduced = {sae: [_Reduced(one, k) for k in levels[sae]] for sae, one in loaded.items()}
        wholes = {sae: [self._quality(one) for one in of_sae] for sae, of_sae in reduced.items()}
        for name, rows in self.panel.parts.items():
            self._rebuild(name, rows, loaded, reduced, wholes)
        mean = wholes[saes[0]][0].mean
        for name, rows in self.panel.parts.items():
            if left := self._cells.lacking(saes, f"losses on {name}"):
                flat = [one for sae in left for one in reduced[sae]]
                found = splice_contexts(
                    self.found.model, self.found.hook, flat, rows, mean, self.panel.ordinary, self._rows_at_once
                )
                for sae in left:
                    of_sae, found = found[: len(reduced[sae])], found[len(reduced[sae]) :]
                    self._cells.keep(sae, f"losses on {name}", [_plain(one) for one in of_sae])
            self.report(f"cross-entropy on {name}", len(rows), len(rows))
        for sae in saes:
            yield self._figures(sae, levels[sae], reduced[sae], wholes[sae])

    def _figures(
        self, sae: Trained, levels: Sequence[int | None], reduced: Sequence["_Reduced"], wholes: Sequence[Quality]
    ) -> dict[str, Any]:
        """An SAE's figures by place and k, and the losses of each context of each part by k."""
        parts = {name: self._cells.kept(sae, f"losses on {name}") for name in self.panel.parts}
        qualities = {
            name: self._qualities(reduced, self._cells.kept(sae, f"sums of {name}")["part"]) for name in parts
        } | {PANEL: list(wholes)}
        losses = {name: [one["losses"] for one in of_k] for name, of_k in parts.items()}
        losses[PANEL] = [_pooled(of_k) for of_k in zip(*losses.values(), strict=True)]
        names = [str(k or "all") for k in levels]
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

    def _divisors(self, sae: Autoencoder) -> tuple[int, ...]:
        if sae.k is None:
            return (1,)
        return tuple({max(1, sae.k // by): by for by in sorted(self.config.ks, reverse=True)}.values())[::-1]

    def _quality(self, one: _Reduced) -> Quality:
        return Quality(self.found.truncated.d_in, one.sae.d_sae, self.found.truncated.device)

    def _qualities(self, reduced: Sequence[_Reduced], sums: Sequence[dict[str, Any]]) -> list[Quality]:
        """What was kept of them."""
        found = [self._quality(one) for one in reduced]
        for quality, kept in zip(found, sums, strict=True):
            vars(quality).update(
                {
                    name: one.to(self.found.truncated.device) if isinstance(one, Tensor) else one
                    for name, one in kept.items()
                }
            )
        return found

    def _rebuild(
        self,
        name: str,
        rows: Sequence[np.ndarray],
        loaded: Mapping[Trained, Autoencoder],
        reduced: Mapping[Trained, Sequence[_Reduced]],
        wholes: dict[Trained, list[Quality]],
    ) -> None:
        """The sums of a part, and those of the panel up to it, which take the place of those up to the part before.

        The codes are computed once for all divisors.
        """
        read = f"sums of {name}"
        left = self._cells.lacking(loaded, read)
        parts = {sae: [self._quality(one) for one in reduced[sae]] for sae in left}
        for first in range(0, len(rows) if left else 0, ROWS_AT_ONCE):
            chunk = rows[first : first + ROWS_AT_ONCE]
            for _, native in kept_activations(self.found.truncated, chunk, self.panel.ordinary, ROWS_PER_FORWARD):
                h = native.float()
                for sae in left:
                    full = sparse_codes(loaded[sae], h)
                    for one, part, whole in zip(reduced[sae], parts[sae], wholes[sae], strict=True):
                        codes = one.of(*full)
                        h_hat = one.decode(codes)
                        part.update(h, h_hat, codes)
                        whole.update(h, h_hat, codes)
            self.report(f"reconstruction of {name}", first + len(chunk), len(rows))
        for sae in left:
            both = {"part": parts[sae], "panel": wholes[sae]}
            self._cells.keep(sae, read, {which: [vars(one) for one in sums] for which, sums in both.items()})
        for sae in loaded.keys() - set(left):
            wholes[sae] = self._qualities(reduced[sae], self._cells.kept(sae, read)["panel"])


def _pooled(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Losses over several texts, weighted by their scored tokens; what is derived is derived anew."""
    weights = np.array([part["scored_tokens"] for part in parts], np.float64)
    names = ("ce_clean", "ce_sae", "ce_zero", "ce_mean", "kl")
    found = {name: float(np.average([part[name] for part in parts], weights=weights)) for name in names}
    clean, with_sae, zero = found["ce_clean"], found["ce_sae"], found["ce_zero"]
    return found | {
        "ce_diff": with_sae - clean,
        "ce_recovered": (zero - with_sae) / (zero - clean) if zero != clean else math.nan,
        "scored_tokens": float(weights.sum()),
    }


def _plain(spliced: Spliced) -> dict[str, Any]:
    """As JSON."""
    return {"losses": spliced.losses, "contexts": {name: one.tolist() for name, one in spliced.contexts.items()}}


class _Figures:
    """Figures of the SAEs of one shape, by metric, place and k, with what resamples of the contexts make of them."""

    def __init__(
        self, names: Sequence[str], saes: Sequence[Trained], cells: dict[str, Any], panel: Panel, seed: int
    ) -> None:
        self.names, self.saes, self.cells, self.parts = names, saes, cells, list(panel.parts)
        self.counts = {name: resample_counts(len(rows), seed, f"text of {name}") for name, rows in panel.parts.items()}

    def of(self, metric: str, place: str, k: str) -> dict[str, dict[int, float | None]]:
        """By corpus and seed; `Resampled` where the metric is one of losses."""
        found: dict[str, dict[int, float | None]] = {name: {} for name in self.names}
        draws: dict[str, dict[int, np.ndarray]] = {name: {} for name in self.names}
        for sae, seed in zip(self.saes, seed_numbers(self.saes), strict=True):
            found[sae.corpus][seed] = self.cells[sae.sha256]["figures"][place][k][metric]
            if metric in OF_LOSSES:
                draws[sae.corpus][seed] = self._draws(sae, metric, place, k)
        if metric not in OF_LOSSES:
            return found
        units = sum(counts.shape[1] for part, counts in self.counts.items() if place in (part, PANEL))
        return {name: Resampled(figures, draws[name], units) for name, figures in found.items()}

    def _draws(self, sae: Trained, metric: str, place: str, k: str) -> np.ndarray:
        """The metric under each resample, the parts drawn each by itself, float64 [draws]."""
        sums: dict[str, Any] = dict.fromkeys(("tokens", "ce_clean", "ce_sae", "ce_zero", "kl"), 0.0)
        for part in self.parts if place == PANEL else [place]:
            losses = self.cells[sae.sha256]["contexts"][part][k]
            for name in sums:
                sums[name] = sums[name] + self.counts[part] @ np.array(losses[name], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "ce_recovered":
                return np.asarray((sums["ce_zero"] - sums["ce_sae"]) / (sums["ce_zero"] - sums["ce_clean"]))
            lost = sums["kl"] if metric == "kl" else sums["ce_sae"] - sums["ce_clean"]
            return np.asarray(lost / sums["tokens"])


def _summary(
    found: StudyInput, panel: Panel, saes: Sequence[Trained], cells: dict[str, Any], is_headline: bool, seed: int
) -> dict[str, Any]:
    """Statistics, matrices and the ladder of k of one shape."""
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
    places = [*panel.parts, PANEL]
    first = cells[saes[0].sha256]["figures"]
    full = _full(first)
    figures = _Figures(names, saes, cells, panel, seed)
    on_panel = {metric: figures.of(metric, PANEL, full) for metric in (*MATRICES, "l0", "mse", "cosine", "l2_ratio")}
    parts = {place: figures.of("ce_recovered", place, full) for place in panel.parts}
    statistics = summarise(
        "reconstruction", on_panel, found.own, Parts(parts, found.matched, found.foreign),
        panel.positions(names, found.context), is_headline=is_headline, controls=found.controls,
    )  # fmt: skip
    by_place = {metric: {place: figures.of(metric, place, full) for place in places} for metric in MATRICES}
    matrices = {
        metric: {name: {place: estimate(of[place][name]).summary() for place in places} for name in names}
        for metric, of in by_place.items()
    }
    by_k = {k: {metric: figures.of(metric, PANEL, k) for metric in MATRICES} for k in first[PANEL]}
    ladder = {
        name: {k: {metric: estimate(of[metric][name]).summary() for metric in MATRICES} for k, of in by_k.items()}
        for name in names
    }
    return statistics | {"matrices": matrices, "reduced_k": ladder}


def _full(figures: dict[str, Any]) -> str:
    """The name of the largest k measured."""
    return max(figures[PANEL], key=lambda k: math.inf if k == "all" else int(k))


def _rows(found: StudyInput, cells: dict[str, Any]) -> list[Row]:
    """Every figure of every SAE on every text; the parameter is k."""
    rows = []
    for sae in found.saes:
        base = Row("reconstruction", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        for place, by_k in cells[sae.sha256]["figures"].items():
            for k, values in by_k.items():
                at = None if k == "all" else float(k)
                rows += [
                    replace(base, metric=metric, value=value, parameter=at, other=place)
                    for metric, value in values.items()
                ]
    return rows


__all__ = ["ReconstructionConfig", "ReconstructionStudy", "reconstruction_tables", "study_reconstruction"]
