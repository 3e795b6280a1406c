"""Counts of fake latents that are not there yet: every text read once for all SAEs, an SAE's figures kept by its hash."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.files import write_json
from faithful.sae.autoencoder import Autoencoder
from faithful.truncated import TruncatedModel
from studies.codes import activations_of, code_text, sparse_codes
from studies.examples import latent_examples
from studies.fake_rules import (
    CONTRAST,
    DENSITIES,
    QUANTILES,
    Firing,
    FiringCounter,
    bound,
    contrast_interval,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
    thresholds_of,
)
from studies.floors import moments_of
from studies.grid import Trained, by_corpus
from studies.inputs import StudyInput
from studies.noise_models import permuted_model, untrained_sae
from studies.panel import Panel, shuffled_rows, unigram_rows

Told = Callable[[str, int, int], None]
FORMAT = 2
SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
EXAMPLE_CONTEXTS = 64


class FakeCounts:
    """Counts of some SAEs, from the cells of a study where they are there.

    Args:
        found: SAEs and model.
        panel: the text.
        noise: contexts of random tokens.
        seed: of the controls and of the bootstrap.
        folder: of the cells.
        report: told what is read.
    """

    def __init__(
        self, found: StudyInput, panel: Panel, noise: Sequence[np.ndarray], seed: int, folder: Path, report: Told
    ) -> None:
        self.found, self.panel, self.noise, self.seed, self.folder, self.report = (
            found, panel, noise, seed, folder, report,
        )  # fmt: skip
        self.reused = 0
        spec = found.spec
        identity = [FORMAT, spec.revision, spec.dtype, found.hook.name, seed, panel.sha256]
        digest = hashlib.sha256(json.dumps(identity).encode())
        for row in noise:
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

    def examples(self, saes: Sequence[Trained], cells: dict[str, dict[str, Any]], count: int) -> list[dict[str, Any]]:
        """The densest fake latents of each corpus' first SAE, on random tokens and on text."""
        first = [group[0] for group in by_corpus(saes).values()]
        shown = [sae for sae in first if cells[sae.sha256]["top_fakes"][:count]]
        if not shown:
            return []
        noise, panel, loaded = self.noise[:EXAMPLE_CONTEXTS], self.panel, [sae.load() for sae in shown]
        texts = (
            ("random tokens", noise, ["random tokens"], np.zeros(len(noise), np.int64)),
            ("text", panel.rows, list(panel.parts), panel.part_of_rows()),
        )
        coded = [code_text(self.found.truncated, loaded, rows, panel.ordinary) for _, rows, _, _ in texts]
        blocks = []
        for place, sae in enumerate(shown):
            notes = {
                one["latent"]: f"latent {one['latent']}; fires on {one['noise']:.2%} of random tokens,"
                f" {one['panel']:.3%} of text"
                for one in cells[sae.sha256]["top_fakes"][:count]
            }
            blocks += [
                latent_examples(
                    f"{sae.name}: top fake latents on {title}", list(notes), notes, found, place, parts, owners,
                    self.found.tokenizer,
                )
                for (title, _, parts, owners), found in zip(texts, coded, strict=True)
            ]  # fmt: skip
        return blocks

    def _path(self, sae: Trained) -> Path:
        return self.folder / f"{hashlib.sha256((self.text + sae.sha256).encode()).hexdigest()[:32]}.json"

    @torch.no_grad()
    def _measure(self, saes: Sequence[Trained]) -> list[dict[str, Any]]:
        found, panel, seed = self.found, self.panel, self.seed
        model = found.truncated
        loaded = [sae.load().to(device=model.device) for sae in saes]
        coded = code_text(model, loaded, panel.rows, panel.ordinary, self._told("codes of text"))
        thresholds = [thresholds_of(codes.values, codes.latents, codes.d_sae).to(model.device) for codes in coded.codes]
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
        of_initial = [one for one, sae in zip(thresholds, fresh, strict=True) if sae is not None]
        pairs = iter(
            zip(
                self._count(model, initial, of_initial, self.noise, "random tokens, untrained"),
                self._count(model, initial, of_initial, panel.rows, "text, untrained"),
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
        counters = [FiringCounter(one, len(rows), self.seed, what) for one in thresholds]
        for owners, _, h in activations_of(model, rows, self.panel.ordinary, self._told(what)):
            for sae, counter in zip(saes, counters, strict=True):
                counter.add(*sparse_codes(sae, h), owners)
        return [counter.result() for counter in counters]

    def _told(self, step: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(step, done, total)


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
        "silent_on_panel": int((panel.fired == 0).sum()),
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
