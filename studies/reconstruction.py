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
from faithful.metrics import Quality, spliced_losses
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.sparse import decode
from studies import reconstruction_figures
from studies.cells import Cells
from studies.codes import ROWS_AT_ONCE, ROWS_PER_FORWARD, sparse_codes
from studies.configs import ReconstructionConfig
from studies.grid import Trained, ordered_shapes, seed_numbers
from studies.inference import estimate, summarise
from studies.inputs import StudyInput, resolve_input
from studies.panel import Panel, load_panel
from studies.results import Row, write_results

Told = Callable[[str, int, int], None]
FORMAT = 2
PANEL = "panel"
MATRICES = ("fvu", "ce_diff", "ce_recovered", "kl")


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
    with folder_lock(config.out):
        bench = _Bench(config, found, panel, report)
        cells = bench.cells()
        groups = ordered_shapes(found.saes)
        first = next(iter(groups))
        shapes = {name: _summary(found, panel, saes, cells, name == first) for name, saes in groups.items()}
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


def reconstruction_tables(summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Tables for the terminal and the report: title, header, rows."""
    tables = []
    for metric in MATRICES:
        matrix = summary["matrices"][metric]
        places = list(next(iter(matrix.values())))
        rows: list[tuple[str, ...]] = [
            (name, *(_shown(values.get(place)) for place in places)) for name, values in matrix.items()
        ]
        tables.append((f"{metric}: SAEs trained on (row), text of (column)", ("trained on", *places), rows))
    ladder = summary["reduced_k"]
    ks = list(next(iter(ladder.values())))
    rows = [(name, *(_shown(values[k]["ce_recovered"]) for k in ks)) for name, values in ladder.items()]
    tables.append(
        ("ce_recovered on the panel with fewer latents per token", ("trained on", *(f"k {k}" for k in ks)), rows)
    )
    contrasts: list[tuple[str, ...]] = [
        (
            f"{one['a']} − {one['b']}",
            f"{one['difference']:+.4f}",
            "–" if one["ci95"] is None else f"{one['ci95'][0]:.4f} to {one['ci95'][1]:.4f}",
            "–" if one["p_holm"] is None else f"{one['p_holm']:.3g}",
            one["verdict"],
        )
        for one in summary["contrasts"]
        if one["headline"] and one["difference"] is not None
    ]
    if contrasts:
        tables.append(
            (
                "ce_recovered on the panel: contrasts",
                ("corpora", "difference", "95 % interval", "p (Holm)", "verdict"),
                contrasts,
            )
        )
    return tables


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
        """Figures of every SAE by its hash: {place: {k: {metric: value}}}."""
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
                found = spliced_losses(self.found.model, self.found.hook, flat, rows, mean, self.panel.ordinary)
                for sae in left:
                    of_sae, found = found[: len(reduced[sae])], found[len(reduced[sae]) :]
                    self._cells.keep(sae, f"losses on {name}", of_sae)
            self.report(f"cross-entropy on {name}", len(rows), len(rows))
        for sae in saes:
            qualities = {
                name: self._qualities(reduced[sae], self._cells.kept(sae, f"sums of {name}")["part"])
                for name in self.panel.parts
            } | {PANEL: wholes[sae]}
            losses = {name: self._cells.kept(sae, f"losses on {name}") for name in self.panel.parts}
            losses[PANEL] = [_pooled(of_k) for of_k in zip(*losses.values(), strict=True)]
            yield {
                name: {
                    str(k or "all"): {
                        metric: value if math.isfinite(value) else None
                        for metric, value in (quality.result() | lost).items()
                    }
                    for k, quality, lost in zip(levels[sae], of_name, losses[name], strict=True)
                }
                for name, of_name in qualities.items()
            }

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


def _summary(
    found: StudyInput, panel: Panel, saes: Sequence[Trained], cells: dict[str, Any], is_headline: bool
) -> dict[str, Any]:
    """Statistics, matrices and the ladder of k of one shape."""
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]
    places = [*panel.parts, PANEL]
    full = _full(cells[saes[0].sha256])

    def figures(metric: str, place: str, k: str) -> dict[str, dict[int, float | None]]:
        of: dict[str, dict[int, float | None]] = {name: {} for name in names}
        for sae, seed in zip(saes, seed_numbers(saes), strict=True):
            of[sae.corpus][seed] = cells[sae.sha256][place][k][metric]
        return of

    on_panel = {metric: figures(metric, PANEL, full) for metric in (*MATRICES, "l0", "mse", "cosine", "l2_ratio")}
    headline = "ce_recovered"
    parts = {place: figures(headline, place, full) for place in panel.parts}
    statistics = summarise(
        "reconstruction", on_panel, found.own, parts, panel.positions(names, found.context), is_headline=is_headline,
        controls=found.controls,
    )  # fmt: skip
    matrices = {
        metric: {
            name: {place: estimate(figures(metric, place, full)[name]).summary() for place in places} for name in names
        }
        for metric in MATRICES
    }
    ladder = {
        name: {
            k: {metric: estimate(figures(metric, PANEL, k)[name]).summary() for metric in MATRICES}
            for k in cells[saes[0].sha256][PANEL]
        }
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
        for place, by_k in cells[sae.sha256].items():
            for k, values in by_k.items():
                at = None if k == "all" else float(k)
                rows += [
                    replace(base, metric=metric, value=value, parameter=at, other=place)
                    for metric, value in values.items()
                ]
    return rows


def _shown(value: Any) -> str:
    if value is None or value["value"] is None:
        return "–"
    ends = value["ci95"]
    return f"{value['value']:.4f}" + (f" ± {(ends[1] - ends[0]) / 2:.4f}" if ends else "")
