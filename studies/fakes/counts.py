"""Counts of fake latents that are not there yet: every text read once for all SAEs, an SAE's figures kept by its hash."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import Trained, by_corpus
from studies.common.cache import Cells
from studies.common.codes import activations_of, code_text, sparse_codes
from studies.common.controls import has_untrained, permuted_model, shuffled_documents, untrained_sae
from studies.common.examples import latent_examples
from studies.common.gaussian import moments_of
from studies.common.inputs import StudyInput
from studies.common.panel import Panel, unigram_rows
from studies.fakes.rules import (
    CONTRAST,
    DENSITIES,
    QUANTILES,
    Firing,
    FiringCounter,
    Resampled,
    bound,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
    resampled_contrast,
    resampled_shares,
    thresholds_of,
)

Told = Callable[[str, int, int], None]
FORMAT = 4
SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
EXAMPLE_CONTEXTS = 64
TEXT, NOISE, THRESHOLDS = "text", "random tokens", "codes of text"
CONTROLS = {
    "shuffled": ("shuffled text", TEXT),
    "unigram": ("unigram text", TEXT),
    "permuted_model": (f"{NOISE}, permuted model", f"{TEXT}, permuted model"),
    "untrained": (f"{NOISE}, untrained", f"{TEXT}, untrained"),
}
"""What stands for the random tokens and what for the text."""


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
        self.found, self.panel, self.noise, self.seed, self.report = found, panel, noise, seed, report
        spec = found.spec
        identity = [FORMAT, spec.revision, spec.dtype, found.hook.name, seed, panel.sha256]
        digest = hashlib.sha256(json.dumps(identity).encode())
        for row in noise:
            digest.update(row.tobytes())
        self._cells = Cells(folder, digest.hexdigest())
        self._resampled = {TEXT, NOISE, *(f"{TEXT} of {name}" for name in panel.parts)}

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self) -> dict[str, dict[str, Any]]:
        """Figures of every SAE by its hash."""
        return self._cells.figures(self.found.saes, self._measure)

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

    @torch.no_grad()
    def _measure(self, saes: Sequence[Trained]) -> Iterator[dict[str, Any]]:
        """Read what no killed study has read, each text once for all SAEs; then their figures, SAE by SAE."""
        found, panel, noise, seed = self.found, self.panel, self.noise, self.seed
        model = found.truncated
        loaded = {sae: sae.load().to(device=model.device) for sae in saes}
        if left := self._cells.lacking(saes, THRESHOLDS):
            some = [loaded[sae] for sae in left]
            coded = code_text(model, some, panel.rows, panel.ordinary, self._told(THRESHOLDS))
            for sae, codes in zip(left, coded.codes, strict=True):
                self._cells.keep(sae, THRESHOLDS, thresholds_of(codes.values, codes.latents, codes.d_sae))
            del coded
        self._read(TEXT, model, loaded, panel.rows)
        for name, rows in panel.parts.items():
            self._read(f"{TEXT} of {name}", model, loaded, rows)
        self._read(NOISE, model, loaded, noise)
        self._read(CONTROLS["shuffled"][0], model, loaded, shuffled_documents(panel.rows, panel.ordinary, seed))
        self._read(CONTROLS["unigram"][0], model, loaded, unigram_rows(found.spec, panel.rows, seed))
        if any(self._cells.lacking(saes, read) for read in CONTROLS["permuted_model"]):
            other = TruncatedModel(permuted_model(found.model, seed), found.hook)
            for read, text in zip(CONTROLS["permuted_model"], (noise, panel.rows), strict=True):
                self._read(read, other, loaded, text)
            del other
        begun = [sae for sae in saes if has_untrained(sae)]
        if any(self._cells.lacking(begun, read) for read in CONTROLS["untrained"]):
            mean = moments_of(model, panel.rows, panel.ordinary).mean
            initial = {sae: untrained_sae(sae, mean).to(device=model.device) for sae in begun}
            for read, text in zip(CONTROLS["untrained"], (noise, panel.rows), strict=True):
                self._read(read, model, initial, text)
        for sae in saes:
            yield _figures(
                self._firing(sae, NOISE),
                self._firing(sae, TEXT),
                {name: self._firing(sae, f"{TEXT} of {name}") for name in panel.parts},
                {
                    name: (self._firing(sae, one), self._firing(sae, other))
                    for name, (one, other) in CONTROLS.items()
                    if name != "untrained" or has_untrained(sae)
                },
            )

    def _read(
        self, what: str, model: TruncatedModel, saes: Mapping[Trained, Autoencoder], rows: Sequence[np.ndarray]
    ) -> None:
        """Count a text for those SAEs that it was not counted for, and keep what comes of it."""
        left = self._cells.lacking(saes, what)
        thresholds = [self._cells.kept(sae, THRESHOLDS).to(model.device) for sae in left]
        counted = self._count(model, [saes[sae] for sae in left], thresholds, rows, what) if left else []
        for sae, firing in zip(left, counted, strict=True):
            self._cells.keep(sae, what, _plain(firing))

    def _firing(self, sae: Trained, what: str) -> Firing:
        return _of_plain(self._cells.kept(sae, what))

    def _count(
        self,
        model: TruncatedModel,
        saes: Sequence[Autoencoder],
        thresholds: Sequence[Tensor],
        rows: Sequence[np.ndarray],
        what: str,
    ) -> list[Firing]:
        text = what if what in self._resampled else None
        counters = [FiringCounter(one, len(rows), self.seed, text) for one in thresholds]
        for owners, _, h in activations_of(model, rows, self.panel.ordinary, self._told(what)):
            for sae, counter in zip(saes, counters, strict=True):
                counter.add(*sparse_codes(sae, h), owners)
        return [counter.result() for counter in counters]

    def _told(self, step: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(step, done, total)


def _plain(firing: Firing) -> dict[str, Any]:
    """As plain values and tensors."""
    found = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in vars(firing).items()
    }
    drawn = firing.resampled
    return found | {"resampled": drawn and {name: torch.from_numpy(one) for name, one in vars(drawn).items()}}


def _of_plain(plain: dict[str, Any]) -> Firing:
    found = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in plain.items()}
    drawn = plain["resampled"]
    return Firing(**found | {"resampled": drawn and Resampled(**{name: one.numpy() for name, one in drawn.items()})})


def _figures(
    noise: Firing, panel: Firing, parts: dict[str, Firing], controls: dict[str, tuple[Firing, Firing]]
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
    for name in CONTROLS:
        figures[f"fake_contrast_{name}"] = float(fake_contrast(*controls[name]).mean()) if name in controls else None
    fake = np.flatnonzero(shares["fake_contrast"])
    top = fake[np.argsort(-noise.fired[fake], kind="stable")][:20]
    return {
        "figures": figures,
        "resampled": {name: draws.tolist() for name, draws in resampled_shares(noise, panel).items()},
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
        "parts_resampled": {name: resampled_contrast(noise, part).tolist() for name, part in parts.items()},
        "top_fakes": [
            {"latent": int(i), "noise": float(noise.density[i]), "panel": float(panel.density[i])} for i in top
        ],
        "densities": [[round(float(noise.density[i]), 6), round(float(panel.density[i]), 6)] for i in range(width)],
    }
