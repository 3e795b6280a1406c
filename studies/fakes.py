"""`faithful study fakes`: latents that fire on random tokens and not on text, with every control beside them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.errors import FaithfulError
from faithful.files import folder_lock, write_json
from faithful.sae.autoencoder import Autoencoder
from faithful.truncated import TruncatedModel
from studies import fakes_figures
from studies.codes import activations_of, code_text, sparse_codes
from studies.examples import latent_examples, write_examples
from studies.fake_rules import (
    CONTRAST,
    DENSITIES,
    Firing,
    FiringCounter,
    bound,
    contrast_interval,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
)
from studies.floors import moments_of
from studies.grid import Trained, by_corpus, by_shape
from studies.inference import EXPLORATORY, estimate, summarise
from studies.inputs import StudyConfig, StudyInput, resolve_input
from studies.noise_models import permuted_model, untrained_sae
from studies.panel import Panel, load_panel, noise_rows, shuffled_rows, unigram_rows
from studies.results import Row, write_results

Told = Callable[[str, int, int], None]
NOISE_TOKENS = {"cpu": 64_000, "cuda": 1_000_000}
SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
QUANTILES = (0.5, 0.9, 0.99)
CONTROLS = ("shuffled", "unigram", "permuted_model", "untrained")
EXAMPLE_CONTEXTS = 64


@dataclass(frozen=True)
class FakesConfig(StudyConfig):
    """What to count.

    Attributes:
        noise_tokens: random tokens; None is 64k on a CPU and 1M on a GPU.
        examples: top fake latents shown per corpus.
    """

    noise_tokens: int | None = None
    examples: int = 5


@dataclass(frozen=True)
class FakesStudy:
    """What came out.

    Attributes:
        folder: where results.parquet, summary.json, examples.parquet and the figures are.
        summary: what summary.json holds.
        reused: SAEs whose figures were there already.
    """

    folder: Path
    summary: dict[str, Any]
    reused: int = 0


def _silent(step: str, done: int, total: int) -> None:
    return None


def study_fakes(config: FakesConfig, report: Told = _silent) -> FakesStudy:
    """Count fake latents of every SAE by every rule, on random tokens and on every control.

    One forward pass per text serves all SAEs; an SAE's counts are kept by its hash. That no more than L0/p latents can be
    denser than p is checked on the counts themselves.

    Raises:
        FaithfulError: fewer random tokens than a context holds, and what `resolve_input` and `load_panel` refuse.
    """
    found = resolve_input(config)
    panel = load_panel(found, config.tokens)
    wanted = config.noise_tokens or NOISE_TOKENS["cpu" if found.device == "cpu" else "cuda"]
    if wanted < found.context:
        raise FaithfulError(
            f"{wanted:,} random tokens do not fill a context of {found.context}; give more noise_tokens."
        )
    noise = noise_rows(found.spec, max(1, wanted // (found.context - 1)), found.context, config.seed)
    with folder_lock(config.out):
        bench = _Bench(config, found, panel, noise, report)
        cells = bench.cells()
        groups = by_shape(found.saes)
        order = sorted(groups, key=lambda name: (-len(groups[name]), name))
        shapes = {name: _summary(found, panel, groups[name], cells) for name in order}
        for name in order[1:]:
            for one in shapes[name]["contrasts"]:
                one |= {"headline": False, "verdict": EXPLORATORY, "p_holm": None}
        examples = bench.examples(groups[order[0]], cells)
        summary = {
            "study": "fakes",
            "model": {"name": found.spec.name, "revision": found.spec.revision, "dtype": found.spec.dtype},
            "hook": found.hook.name,
            "own": found.own,
            "shape": order[0],
            "seed": config.seed,
            "sizes": {
                "saes": len(found.saes),
                "noise_tokens": len(noise) * (found.context - 1),
                "noise_contexts": len(noise),
                "panel_tokens": panel.tokens,
                "context": found.context,
                "layout": found.layout,
            },
            **shapes[order[0]],
            "shapes": shapes,
            "examples": examples,
        }
        write_results(config.out, summary, _rows(found, cells))
        write_examples(config.out / "examples.parquet", examples)
        fakes_figures.draw(
            summary, [cells[sae.sha256] | {"corpus": sae.corpus} for sae in groups[order[0]]], config.out / "figures"
        )
    return FakesStudy(config.out, summary, bench.reused)


def fakes_tables(summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Tables for the terminal and the report: title, header, rows."""
    names = list(summary["corpora"])

    def rows_of(metrics: Sequence[str]) -> list[tuple[str, ...]]:
        return [(metric, *(_shown(summary["corpora"][name].get(metric)) for name in names)) for metric in metrics]

    rules = ["fake_contrast", "fake_notes", "fake_code", *(f"fake_density_{100 * p:g}" for p in DENSITIES)]
    controls = [f"fake_contrast_{control}" for control in CONTROLS]
    tables = [
        ("Fake latents as a share of all, 95 % interval over seeds", ("rule", *names), rows_of(rules)),
        (
            "The headline rule on controls in place of random tokens or of the SAE",
            ("control", *names),
            [row for row in rows_of(controls) if any(cell != "–" for cell in row[1:])],
        ),
        (
            "Of the most that can be so dense (L0/p)",
            ("rule", *names),
            rows_of(["fake_contrast_of_bound", "fake_density_1_of_bound"]),
        ),
    ]
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
        header = ("corpora", "difference", "95 % interval", "p (Holm)", "verdict")
        tables.append(("fake_contrast: contrasts", header, contrasts))
    return tables


class _Bench:
    """Counts for SAEs that are not counted yet."""

    def __init__(
        self, config: FakesConfig, found: StudyInput, panel: Panel, noise: Sequence[np.ndarray], report: Told
    ) -> None:
        self.config, self.found, self.panel, self.noise, self.report = config, found, panel, noise, report
        self.reused = 0
        digest = hashlib.sha256(json.dumps([1, found.spec.revision, found.spec.dtype, config.seed]).encode())
        for row in [*panel.rows, *noise]:
            digest.update(row.tobytes())
        self.text = digest.hexdigest()

    def cells(self) -> dict[str, dict[str, Any]]:
        """Figures of every SAE by its hash."""
        done: dict[str, dict[str, Any]] = {}
        missing = []
        for sae in self.found.saes:
            path = self._path(sae)
            if path.exists():
                done[sae.sha256] = json.loads(path.read_text(encoding="utf-8"))
                self.reused += 1
            else:
                missing.append(sae)
        for sae, figures in zip(missing, self._measure(missing) if missing else [], strict=True):
            write_json(self._path(sae), figures)
            done[sae.sha256] = figures
        return done

    def examples(self, saes: Sequence[Trained], cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """The densest fake latents of each corpus' first SAE, on random tokens and on text."""
        blocks = []
        for name, group in by_corpus(saes).items():
            sae = group[0]
            chosen = cells[sae.sha256]["top_fakes"][: self.config.examples]
            if not chosen:
                continue
            notes = {
                one[
                    "latent"
                ]: f"latent {one['latent']}; fires on {one['noise']:.2%} of random tokens, {one['panel']:.3%} of text"
                for one in chosen
            }
            for title, rows in (("random tokens", self.noise[:EXAMPLE_CONTEXTS]), ("text", self.panel.rows)):
                coded = code_text(self.found.truncated, [sae.load()], rows, self.panel.ordinary)
                parts = ["random tokens"] if title == "random tokens" else list(self.panel.parts)
                owners = np.zeros(len(rows), np.int64) if title == "random tokens" else self.panel.part_of_rows()
                block = latent_examples(
                    f"{name}, seed {sae.seed}: top fake latents on {title}", list(notes), notes, coded, 0, parts, owners,
                    self.found.tokenizer,
                )  # fmt: skip
                blocks.append(block)
        return blocks

    def _path(self, sae: Trained) -> Path:
        return self.config.out / "cells" / f"{hashlib.sha256((self.text + sae.sha256).encode()).hexdigest()[:32]}.json"

    @torch.no_grad()
    def _measure(self, saes: Sequence[Trained]) -> list[dict[str, Any]]:
        found, panel, seed = self.found, self.panel, self.config.seed
        model = found.truncated
        loaded = [sae.load().to(device=model.device) for sae in saes]
        coded = code_text(model, loaded, panel.rows, panel.ordinary, self._told("codes of text"))
        thresholds = [_thresholds(codes.values, codes.latents, codes.d_sae).to(model.device) for codes in coded.codes]
        moments = moments_of(model, panel.rows, panel.ordinary)
        on_panel = self._count(model, loaded, thresholds, panel.rows, "text")
        on_parts = {
            name: self._count(model, loaded, thresholds, rows, f"text of {name}") for name, rows in panel.parts.items()
        }
        on_noise = self._count(model, loaded, thresholds, self.noise, "random tokens")
        shuffled = shuffled_rows(panel.rows, panel.ordinary, seed)
        unigram = unigram_rows(found.spec, panel.rows, seed)
        other = TruncatedModel(permuted_model(found.model, seed), found.hook)
        controls: dict[str, list[tuple[Firing, Firing] | None]] = {
            "shuffled": list(
                zip(self._count(model, loaded, thresholds, shuffled, "shuffled text"), on_panel, strict=True)
            ),
            "unigram": list(
                zip(self._count(model, loaded, thresholds, unigram, "unigram text"), on_panel, strict=True)
            ),
            "permuted_model": list(
                zip(
                    self._count(other, loaded, thresholds, self.noise, "random tokens, permuted model"),
                    self._count(other, loaded, thresholds, panel.rows, "text, permuted model"),
                    strict=True,
                )
            ),
        }
        fresh = [untrained_sae(sae, moments) for sae in saes]
        initial = [sae.to(device=model.device) for sae in fresh if sae is not None]
        pairs = iter(
            zip(
                self._count(model, initial, thresholds[: len(initial)], self.noise, "random tokens, untrained"),
                self._count(model, initial, thresholds[: len(initial)], panel.rows, "text, untrained"),
                strict=True,
            )
            if initial
            else ()
        )
        controls["untrained"] = [None if sae is None else next(pairs) for sae in fresh]
        return [
            _figures(
                on_noise[place],
                on_panel[place],
                {name: firings[place] for name, firings in on_parts.items()},
                {name: pairs[place] for name, pairs in controls.items()},
            )
            for place in range(len(saes))
        ]

    def _count(
        self,
        model: TruncatedModel,
        saes: Sequence[Autoencoder],
        thresholds: Sequence[Tensor],
        rows: Sequence[np.ndarray],
        what: str,
    ) -> list[Firing]:
        counters = [FiringCounter(one, len(rows), self.config.seed) for one in thresholds]
        for owners, _, h in activations_of(model, rows, self.panel.ordinary, self._told(what)):
            for sae, counter in zip(saes, counters, strict=True):
                counter.add(*sparse_codes(sae, h), owners)
        return [counter.result() for counter in counters]

    def _told(self, step: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(step, done, total)


def _thresholds(values: Tensor, latents: Tensor, d_sae: int) -> Tensor:
    """1, and quantiles of each latent's own positive activations on the panel (infinite where it never fires there)."""
    found = torch.full((1 + len(QUANTILES), d_sae), float("inf"))
    found[0] = 1.0
    fires = values > 0
    owner, strength = latents[fires].long(), values[fires]
    order = torch.argsort(strength)
    order = order[torch.argsort(owner[order], stable=True)]
    counts = torch.bincount(owner, minlength=d_sae)
    starts = counts.cumsum(0) - counts
    alive = counts > 0
    for place, quantile in enumerate(QUANTILES):
        at = starts[alive] + ((counts[alive] - 1) * quantile).round().long()
        found[place + 1, alive] = strength[order][at]
    return found


def _figures(
    noise: Firing, panel: Firing, parts: dict[str, Firing], controls: dict[str, tuple[Firing, Firing] | None]
) -> dict[str, Any]:
    """One SAE's shares by rule, sweep, control and part, and its densest fake latents."""
    width = len(noise.fired)
    shares = {
        "fake_contrast": fake_contrast(noise, panel),
        "fake_notes": fake_notes(noise),
        "fake_code": fake_code(noise),
    }
    for p in DENSITIES:
        dense = fake_density(noise, p)
        if dense.sum() > noise.l0 / p:
            raise AssertionError(f"{int(dense.sum())} latents are denser than {p}, and L0/p is {noise.l0 / p:.1f}")
        shares[f"fake_density_{100 * p:g}"] = dense
    figures: dict[str, Any] = {name: float(fake.mean()) for name, fake in shares.items()}
    for name, p in (("fake_contrast", CONTRAST), *((f"fake_density_{100 * p:g}", p) for p in DENSITIES)):
        most = bound(noise, p)
        figures[f"{name}_of_bound"] = float(shares[name].sum() / most) if most else 0.0
    for name, pair in controls.items():
        figures[f"fake_contrast_{name}"] = None if pair is None else float(fake_contrast(*pair).mean())
    fake = np.flatnonzero(shares["fake_contrast"])
    top = fake[np.argsort(-noise.fired[fake], kind="stable")][:20]
    low, high = contrast_interval(noise, panel)
    return {
        "figures": figures,
        "interval": [low, high],
        "l0_noise": noise.l0,
        "l0_panel": panel.l0,
        "sweep_contrast": {f"{p:g}": float(fake_contrast(noise, panel, p).mean()) for p in SWEEP},
        "sweep_density": {f"{p:g}": float(fake_density(noise, p).mean()) for p in SWEEP},
        "sweep_tau": {
            name: {f"{share:g}": float(fake_code(noise, place, share).mean()) for share in SWEEP}
            for place, name in enumerate(("1", *(f"q{quantile:g}" for quantile in QUANTILES)))
        },
        "parts": {name: float(fake_contrast(noise, part).mean()) for name, part in parts.items()},
        "top_fakes": [
            {"latent": int(i), "noise": float(noise.density[i]), "panel": float(panel.density[i])} for i in top
        ],
        "densities": [[round(float(noise.density[i]), 6), round(float(panel.density[i]), 6)] for i in range(width)],
    }


def _summary(
    found: StudyInput, panel: Panel, saes: Sequence[Trained], cells: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    names = [name for name in found.names if any(sae.corpus == name for sae in saes)]

    def of(*place: str) -> dict[str, dict[int, float | None]]:
        """What stands at a place of each cell, by corpus and seed."""
        found_of: dict[str, dict[int, float | None]] = {name: {} for name in names}
        for sae in saes:
            value: Any = cells[sae.sha256]
            for key in place:
                value = value[key]
            found_of[sae.corpus][-1 if sae.seed is None else sae.seed] = value
        return found_of

    first = cells[saes[0].sha256]
    figures = {metric: of("figures", metric) for metric in first["figures"]}
    parts = {part: of("parts", part) for part in panel.parts}
    positions = {
        name: np.bincount(np.concatenate([np.arange(1, len(row)) for row in rows]), minlength=found.context)
        for name, rows in panel.parts.items()
        if name in names
    }
    statistics = summarise("fakes", figures, found.own, parts=parts, positions=positions)
    sweeps = {
        sweep: {name: {p: estimate(of(sweep, p)[name]).summary() for p in first[sweep]} for name in names}
        for sweep in ("sweep_contrast", "sweep_density")
    }
    return statistics | {"sweeps": sweeps}


def _rows(found: StudyInput, cells: dict[str, dict[str, Any]]) -> list[Row]:
    """Every figure of every SAE; the parameter is p, or the share of tokens for `fake_code` under a threshold."""
    rows = []
    for sae in found.saes:
        cell = cells[sae.sha256]
        base = Row("fakes", sae.corpus, "", None, seed=sae.seed, shape=sae.shape)
        for metric, value in cell["figures"].items():
            low, high = cell["interval"] if metric == "fake_contrast" else (None, None)
            rows.append(replace(base, metric=metric, value=value, low=low, high=high))
        rows += [replace(base, metric=name, value=cell[name]) for name in ("l0_noise", "l0_panel")]
        rows += [
            replace(base, metric="fake_contrast", value=value, other=part) for part, value in cell["parts"].items()
        ]
        for name, metric in (("sweep_contrast", "fake_contrast"), ("sweep_density", "fake_density")):
            rows += [replace(base, metric=metric, value=value, parameter=float(p)) for p, value in cell[name].items()]
        for threshold, by_share in cell["sweep_tau"].items():
            rows += [
                replace(base, metric=f"fake_code_above_{threshold}", value=value, parameter=float(share))
                for share, value in by_share.items()
            ]
    return rows


def _shown(value: Any) -> str:
    if value is None or value["value"] is None:
        return "–"
    ends = value["ci95"]
    return f"{value['value']:.4f}" + (f" ({ends[0]:.4f} to {ends[1]:.4f})" if ends else "")
