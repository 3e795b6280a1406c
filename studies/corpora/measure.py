"""One corpus measured against the model: its divergences, its certificate, its figures."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from faithful.base.digest import digest
from faithful.base.progress import Reporter
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpora_of_saes import loaded_otherwise
from faithful.store.corpus import Corpus, Manifest
from faithful.store.manifest_parts import Certificate
from generation.certificate.conclude import NO_CERTIFICATE
from generation.certificate.reference import Reference, model_figures, score_reference
from generation.certificate.retokenised import held_against_drawn, undecided_with_text
from generation.certificate.score_part import score_evidence
from generation.sampling.distribution import Sampling
from generation.scoring.excess import BandCounter
from generation.scoring.scored_part import ScoredPart, choose_part
from generation.writing.identity import FOREIGN, declares_sampling, drawn_in, is_retokenised, sampling_of
from generation.writing.statistics import budget_statistics
from studies.common.cache import ResultCache
from studies.corpora.config import CorporaConfig
from studies.corpora.summary import CorpusCell
from studies.statistics.records import Measures

DECLARED = ("verdict", "p_holm", "surprise_gap", "ci95", "tokens_scored")


class Bench:
    """Computes one corpus' figures, and keeps them in `cells/`, so that nothing is computed twice."""

    def __init__(
        self, config: CorporaConfig, spec: ModelSpec, own: Path, tokens: int, budget: int, device: str
    ) -> None:
        self.config, self.spec, self.own = config, spec, own
        self.tokens, self.budget, self.device = tokens, budget, device
        self.reused: list[str] = []
        self._cells = ResultCache(config.out / "cells")
        self._model: Any = None
        self._reference: Reference | None = None
        self._tokenizer: Any = None

    def cell(self, corpus: Corpus, report: Reporter) -> CorpusCell:
        """The figures of a corpus."""
        key = self._key(corpus)
        stored = self._cells.get(key, label=corpus.name)
        if stored is not None:
            self.reused.append(corpus.name)
            return cast(CorpusCell, stored)
        return self._cells.put(self._compute(corpus, key, report), key, label=corpus.name)

    def _key(self, corpus: Corpus) -> str:
        """Hash of everything that decides a cell."""
        files = [[shard.sha256 for shard in folder.manifest.shards[split]] for folder, split in (
            (corpus, "train"), (Corpus(self.own), "train"), (Corpus(self.own), "test"),
        )]  # fmt: skip
        spec = (self.spec.revision, self.spec.precision, self.spec.bos_id)
        version = 5 if corpus.manifest.kind == FOREIGN else 4
        parts = [
            version,
            corpus.manifest.identity,
            files,
            spec,
            self.tokens,
            self.budget,
            self.config.seed,
            self.device,
        ]
        return digest(parts)

    def _compute(self, corpus: Corpus, key: str, report: Reporter) -> CorpusCell:
        began = time.monotonic()
        if self._model is None:
            self._model = load_model(self.spec, self.device)
            self._tokenizer = load_tokenizer(self.spec.files, self.spec.hub_revision())
            self._reference = score_reference(self.own, self._model, self.spec, report=report)
        assert self._reference is not None
        part = choose_part(corpus, "train", self.tokens)
        bands = BandCounter()
        manifest = corpus.manifest
        declares = _declared_sampling(manifest, self.spec)
        is_own = declares is not None and declares.is_model
        result = self._certificate(part, manifest, Sampling(), report, as_declared=is_own, bands=bands)
        figures = model_figures(part.documents, bands.result(), self._reference, self.spec, self.config.seed)
        text = budget_statistics(corpus, self._tokenizer, self.spec, self.budget, report=report)
        otherwise = loaded_otherwise(corpus, self.spec)
        cell: CorpusCell = {
            "key": key,
            "name": corpus.name,
            "kind": manifest.kind,
            "tokens": corpus.tokens(),
            "sampling": manifest.identity["sampling"] if declares else None,
            "as_model": result | {"part": part.chosen},
            "as_declared": None if declares is None or is_own else self._declared(part, manifest, declares, report),
            "figures": dict(figures),
            "text": dict(text),
            "seconds": round(time.monotonic() - began, 2),
        }
        if otherwise:
            cell["loaded_otherwise"] = otherwise
        return cell

    def _certificate(
        self,
        part: ScoredPart,
        manifest: Manifest,
        sampling: Sampling,
        report: Reporter,
        *,
        as_declared: bool,
        bands: BandCounter | None = None,
    ) -> Certificate:
        """Figures and tests of a part as samples of q; what is said of samples that came as texts is what text can tell."""
        scored = score_evidence(
            part,
            self._model,
            self.spec,
            sampling,
            sampled_in=drawn_in(manifest),
            seed=self.config.seed,
            report=report,
            bands=bands,
        )
        if not is_retokenised(manifest):
            result = scored.certificate(as_declared=as_declared)
            return result | undecided_with_text(manifest, result)
        result = scored.certificate(as_declared=False)
        found = held_against_drawn(manifest, scored, result, part, self._model, self.spec, sampling, report)
        return result | {"verdict": found["verdict"], "reason": found["reason"]}

    def _declared(self, part: ScoredPart, manifest: Manifest, sampling: Sampling, report: Reporter) -> Measures:
        """Verdict of samples under the sampling they declare, by the study's model; the corpus itself is not touched."""
        if sampling.deterministic:
            return dict.fromkeys(DECLARED) | {"verdict": NO_CERTIFICATE, "tokens_scored": 0}
        result: Mapping[str, Any] = self._certificate(part, manifest, sampling, report, as_declared=True)
        return {name: result[name] for name in DECLARED}


def _declared_sampling(manifest: Manifest, spec: ModelSpec) -> Sampling | None:
    """The sampling that a corpus of samples of this very model declares, None for any other text."""
    model = manifest.identity["model"]
    asked = (spec.revision, spec.bos_id, spec.load)
    if not declares_sampling(manifest) or (model["revision"], model["bos_id"], model.get("load")) != asked:
        return None
    return sampling_of(manifest)
