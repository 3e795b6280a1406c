"""Counts of fake latents that are not there yet: every text read once for all SAEs, an SAE's figures kept by its hash."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.base.digest import digest
from faithful.base.progress import Reporter, Tally, counted
from faithful.executor.jobs import Crew
from faithful.hooks.truncated import TruncatedModel
from faithful.sae.autoencoder import Autoencoder
from faithful.store.saes import TrainedSae, by_corpus
from studies.common.cache import ResultCache
from studies.common.codes import Codes, activations_of, code_text, moments_of
from studies.common.controls import has_untrained, permuted_model, untrained_sae
from studies.common.examples import latent_examples
from studies.common.foreign import RULE, ForeignRule, quantiles_of
from studies.common.inputs import StudyInput
from studies.common.panel import Panel, shuffled_documents, unigram_rows
from studies.common.results import ExampleBlock
from studies.common.workers import Job, jobs_of, study_crew
from studies.fakes.foreign import foreign_cell
from studies.fakes.rules import (
    CONTRAST,
    DENSITIES,
    QUANTILES,
    Firing,
    FiringCounter,
    Resampled,
    as_json,
    bound,
    fake_code,
    fake_contrast,
    fake_density,
    fake_notes,
    resampled_contrast,
    resampled_shares,
)
from studies.fakes.summary import FakeCell, ForeignCell

FORMAT = 7
SWEEP = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
EXAMPLE_CONTEXTS = 64
TEXT, NOISE, THRESHOLDS, UNTRAINED = "text", "random tokens", "codes of text", "untrained"
CONTROLS = {
    "shuffled": ("shuffled text", TEXT),
    "unigram": ("unigram text", TEXT),
    "permuted_model": (f"{NOISE}, permuted model", f"{TEXT}, permuted model"),
    UNTRAINED: (f"{NOISE}, untrained", f"{TEXT}, untrained"),
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
        rule: which latents are foreign.
    """

    def __init__(
        self,
        found: StudyInput,
        panel: Panel,
        noise: Sequence[np.ndarray],
        seed: int,
        folder: Path,
        rule: ForeignRule = RULE,
    ) -> None:
        self.found, self.panel, self.noise, self.seed, self.rule = found, panel, noise, seed, rule
        spec = found.spec
        identity = [FORMAT, spec.revision, spec.precision, found.hook.name, seed, panel.sha256, vars(rule)]
        self._cells = ResultCache(folder, digest(identity, *(row.tobytes() for row in noise)))
        self._resampled = {TEXT, NOISE, *(f"{TEXT} of {name}" for name in panel.parts)}
        self._loaded: dict[TrainedSae, Autoencoder] = {}

    def __getstate__(self) -> object:
        """To be pickled: without what is loaded."""
        return vars(self) | {"_loaded": {}}

    @property
    def reused(self) -> int:
        """SAEs whose figures were there already."""
        return self._cells.reused

    def cells(self, workers: int | None, report: Reporter) -> dict[str, FakeCell]:
        """Figures of every SAE by its hash."""
        with study_crew(FakeCounts.read, self, self.found, workers) as crew:
            return self._cells.figures(self.found.saes, lambda saes: self._measure(saes, crew, report))

    def examples(self, saes: Sequence[TrainedSae], cells: dict[str, FakeCell], count: int) -> list[ExampleBlock]:
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
                one["latent"]: f"fires on {one['noise']:.2%} of random tokens, {one['panel']:.3%} of text"
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

    def _measure(self, saes: Sequence[TrainedSae], crew: Crew, report: Reporter) -> Iterator[FakeCell]:
        """Read what no killed study has read, each text once for all SAEs; then their figures, SAE by SAE."""
        if crew.inherits:
            self._load(saes, self.found.truncated)
        crew.run(jobs_of([(THRESHOLDS, tuple(self._cells.lacking(saes, THRESHOLDS)))], crew.count), report)
        texts = [TEXT, *(f"{TEXT} of {name}" for name in self.panel.parts), NOISE, *CONTROLS]
        begun = [sae for sae in saes if has_untrained(sae)]
        lacking = [(text, self._lacking(begun if text == UNTRAINED else saes, text)) for text in texts]
        if crew.count > 1:
            lacking.sort(key=lambda job: -sum(len(self._rows(read)) for read in _reads(job[0])))
        crew.run(jobs_of(lacking, crew.count), report)
        for sae in saes:
            noise = self._firing(sae, NOISE)
            parts = {name: self._firing(sae, f"{TEXT} of {name}") for name in self.panel.parts}
            controls = {
                name: (self._firing(sae, one), self._firing(sae, other))
                for name, (one, other) in CONTROLS.items()
                if name != UNTRAINED or has_untrained(sae)
            }
            foreign = foreign_cell(noise, parts, sae.corpus, is_free=sae.outline.k is None)
            yield _figures(noise, self._firing(sae, TEXT), parts, controls, foreign)

    def _lacking(self, saes: Iterable[TrainedSae], text: str) -> tuple[TrainedSae, ...]:
        """SAEs that one of the reads of a text is still to be made for."""
        left = {sae for read in _reads(text) for sae in self._cells.lacking(saes, read)}
        return tuple(sae for sae in saes if sae in left)

    @torch.no_grad()
    def read(self, job: Job, report: Reporter) -> None:
        """Count a text for some SAEs, and keep what comes of it."""
        text, saes = job
        model = self.found.truncated
        loaded = self._load(saes, model)
        if text == THRESHOLDS:
            coded = code_text(model, loaded, self.panel.rows, self.panel.ordinary, counted(report, text, "contexts"))
            part = np.array(list(self.panel.parts))[self.panel.part_of_rows()[coded.owners]]
            for sae, codes in zip(saes, coded.codes, strict=True):
                self._cells.keep(sae, text, thresholds_of(codes, torch.from_numpy(part == sae.corpus), self.rule))
            return
        if text == "permuted_model":
            model = TruncatedModel(permuted_model(self.found.model, self.seed), self.found.hook)
        if text == UNTRAINED:
            moments = moments_of(model, self.panel.rows, self.panel.ordinary)
            loaded = [untrained_sae(sae, moments.mean, moments.covariance).to(device=model.device) for sae in saes]
        for read in _reads(text):
            left = [place for place, sae in enumerate(saes) if self._cells.lacking([sae], read)]
            if left:
                some = [saes[place] for place in left]
                thresholds = [self._cells.kept(sae, THRESHOLDS).to(model.device) for sae in some]
                firings = self._count(
                    model, [loaded[place] for place in left], thresholds, read, counted(report, read, "contexts")
                )
                for sae, firing in zip(some, firings, strict=True):
                    self._cells.keep(sae, read, _plain(firing))

    def _load(self, saes: Sequence[TrainedSae], model: TruncatedModel) -> list[Autoencoder]:
        for sae in saes:
            if sae not in self._loaded:
                self._loaded[sae] = sae.load().to(device=model.device)
        return [self._loaded[sae] for sae in saes]

    def _rows(self, read: str) -> Sequence[np.ndarray]:
        """The contexts that are read."""
        if read.startswith(NOISE):
            return self.noise
        if read == CONTROLS["shuffled"][0]:
            return shuffled_documents(self.panel.rows, self.panel.ordinary, self.seed)
        if read == CONTROLS["unigram"][0]:
            return unigram_rows(self.found.spec, self.panel.rows, self.seed)
        part = read.removeprefix(f"{TEXT} of ")
        return self.panel.rows if part == read else self.panel.parts[part]

    def _firing(self, sae: TrainedSae, what: str) -> Firing:
        return _of_plain(self._cells.kept(sae, what))

    def _count(
        self,
        model: TruncatedModel,
        saes: Sequence[Autoencoder],
        thresholds: Sequence[Tensor],
        read: str,
        tally: Tally,
    ) -> list[Firing]:
        text, rows = read if read in self._resampled else None, self._rows(read)
        counters = [FiringCounter(one, len(rows), self.seed, text) for one in thresholds]
        for owners, _, h in activations_of(model, rows, self.panel.ordinary, tally):
            for sae, counter in zip(saes, counters, strict=True):
                counter.add(*sae.encode_sparse(h), owners)
        return [counter.result() for counter in counters]


def thresholds_of(codes: Codes, own: Tensor, rule: ForeignRule) -> Tensor:
    """What activations are counted above, float32 [1 + quantiles + 1, d_sae]: 1, `QUANTILES` of each latent's own positive
    activations on the panel, and what makes them strong; nothing is strong of an SAE whose own text is not in the panel.

    Args:
        codes: of the panel.
        own: bool [tokens], the tokens of the SAE's own text.
        rule: what is strong.
    """
    limits = quantiles_of(codes.values, codes.latents, codes.d_sae, QUANTILES)
    strong = torch.full((1, codes.d_sae), torch.inf)
    if own.any():
        strong = rule.share * quantiles_of(codes.values[own], codes.latents[own], codes.d_sae, [rule.quantile])
    return torch.cat([torch.ones(1, codes.d_sae), limits, strong])


def _reads(text: str) -> list[str]:
    """What is read for a text or a control; the text itself, which several stand beside, has a job of its own."""
    return [read for read in CONTROLS.get(text, (text,)) if read not in (TEXT, NOISE) or read == text]


def _plain(firing: Firing) -> dict[str, object]:
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
    noise: Firing,
    panel: Firing,
    parts: dict[str, Firing],
    controls: dict[str, tuple[Firing, Firing]],
    foreign: ForeignCell | None,
) -> FakeCell:
    """One SAE's shares by rule, sweep, control and part, and its densest fake latents."""
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
    figures: dict[str, float | None] = {name: float(fake.mean()) for name, fake in shares.items()}
    for name, p in (("fake_contrast", CONTRAST), *((f"fake_density_{100 * p:g}", p) for p in DENSITIES)):
        most = bound(noise, p)
        figures[f"{name}_of_bound"] = float(shares[name].sum() / most) if most else 0.0
    for name in CONTROLS:
        figures[f"fake_contrast_{name}"] = float(fake_contrast(*controls[name]).mean()) if name in controls else None
    fake = np.flatnonzero(shares["fake_contrast"])
    top = fake[np.argsort(-noise.fired[fake], kind="stable")][:20]
    return {
        "figures": figures,
        "resampled": {name: as_json(draws) for name, draws in resampled_shares(noise, panel).items()},
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
        "parts_resampled": {name: as_json(resampled_contrast(noise, part)) for name, part in parts.items()},
        "top_fakes": [
            {"latent": int(i), "noise": float(noise.density[i]), "panel": float(panel.density[i])} for i in top
        ],
        "foreign": foreign,
        "densities": np.stack([noise.density, panel.density], 1).tolist(),
    }
