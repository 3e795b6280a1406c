"""`faithful study corpora`: how far each corpus lies outside the model, and how diverse it is, on equal terms.

Every corpus is scored under the model's own distribution (T 1, nothing truncated) on about the same number of tokens, and
described on its first N tokens, N the same for all: the sums of its shards are merged, the rest comes from one pass through
sketches. Nothing is replicated here, so there are intervals but no verdicts between corpora; the certificate's verdict says
whether a corpus can be the model's own.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from faithful.corpus import Corpus, Manifest
from faithful.devices import check_device
from faithful.errors import FaithfulError
from faithful.files import folder_lock
from faithful.model import ModelSpec, load_model, load_tokenizer, resolve_model
from faithful.quantities import check_stated
from faithful.records import read_cache, write_record
from faithful.runs import corpora_in
from faithful.train_corpora import bos_of
from generation.certificate import NO_CERTIFICATE
from generation.certify import DEFAULT_TOKENS, Part, choose_part, refuse_damaged, score_part
from generation.excess import BandCounter
from generation.generate import generate
from generation.identity import sampling_of, spec_of
from generation.prepare import GenerateConfig
from generation.progress import Reporter, silent
from generation.reference import Reference, find_reference, model_figures, score_reference
from generation.sampling import Sampling
from generation.statistics import NEAR_TOKENS, budget_statistics
from studies import corpora_figures
from studies.configs import CorporaConfig
from studies.results import Row, write_results

SWEEP_LIMIT = 1_000_000
UNIGRAM_FIGURES = ("unigram_js", "unigram_js_floor", "unigram_js_floor_max")
MODEL_FIGURES = (
    "excess_ce", "surprise_gap", "ce", "entropy", "perplexity", "first_token_kl", "first_token_kl_reverse",
    "first_token_js", "first_token_js_floor", *UNIGRAM_FIGURES, "p_holm",
)  # fmt: skip
TEXT_FIGURES = (
    "vocab_coverage", "type_token", "distinct_1", "distinct_2", "distinct_3", "distinct_4", "compression_ratio",
    "duplicate_rate", "near_duplicate_rate", "repetition_rate", "round_trip_rate", "unmapped_rate", "eos_rate",
    "length_mean", "length_median", "length_p95",
)  # fmt: skip
DECLARED = ("verdict", "p_holm", "surprise_gap", "ci95", "tokens_scored")
CURVES = ("vocab_coverage", "type_token", "distinct_1", "distinct_2", "distinct_3", "distinct_4")


@dataclass(frozen=True)
class CorporaStudy:
    """What came out.

    Attributes:
        folder: where results.parquet, summary.json and the figures are.
        summary: what summary.json holds.
        reused: corpora whose figures were there already.
    """

    folder: Path
    summary: dict[str, Any]
    reused: list[str] = field(default_factory=list)


def study_corpora(config: CorporaConfig, report: Reporter = silent) -> CorporaStudy:
    """Compare corpora; running it again takes what is finished as it is.

    Raises:
        FaithfulError: a device that is not there, no corpora, two of one name, different tokenizers, no own corpus to hold
            them against, a damaged corpus, a model that cannot be loaded.
    """
    check_stated(config)
    device = check_device(config.device)
    if config.seed < 0:
        raise FaithfulError("--seed must not be negative.")
    config = replace(config, folders=tuple(one for folder in config.folders for one in corpora_in(folder)))
    corpora = _open(config.folders)
    spec = _model(config, corpora, device)
    own = config.own or _own(config.folders, spec)
    most = config.budget or (SWEEP_LIMIT if config.temperatures or config.top_ps else None)
    budget = min(corpus.tokens() for corpus in corpora)
    budget = min(budget, most) if most else budget
    swept = _sweep(config, own, spec, budget, report)
    corpora += [corpus for corpus in _open(swept) if corpus.name not in {c.name for c in corpora}]
    tokens = min(config.tokens or DEFAULT_TOKENS[device], *(corpus.tokens() for corpus in corpora))
    with folder_lock(config.out):
        bench = _Bench(config, spec, own, tokens, budget, device)
        cells: list[dict[str, Any]] = []
        for place, corpus in enumerate(corpora):
            report_one = _numbered(report, f"{corpus.name} ({place + 1}/{len(corpora)})")
            cells.append(bench.cell(corpus, report_one))
        summary = {
            "study": "corpora",
            "model": {"name": spec.name, "revision": spec.revision, "dtype": spec.dtype},
            "reference": own.resolve().name,
            "tokens_scored": tokens,
            "diversity_tokens": budget,
            "near_duplicate_tokens": min(budget, NEAR_TOKENS),
            "seed": config.seed,
            "by_excess_ce": _by_excess_ce(cells),
            "corpora": {cell["name"]: _metrics(cell) for cell in cells},
            "contrasts": [],
            "cells": {cell["name"]: cell for cell in cells},
        }
        write_results(config.out, summary, _rows(cells, budget))
        corpora_figures.draw(cells, config.out / "figures")
    return CorporaStudy(config.out, summary, bench.reused)


def _open(folders: Sequence[Path]) -> list[Corpus]:
    corpora = [Corpus(folder) for folder in folders]
    names = [corpus.name for corpus in corpora]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FaithfulError(f"Two corpora are named {twice[0]}; a corpus' name is its folder's name, so rename one.")
    for corpus in corpora:
        if not corpus.tokens():
            raise FaithfulError(f"{corpus.folder} holds no train tokens yet; complete it or leave it out.")
        refuse_damaged(corpus, "train")
    return corpora


def _model(config: CorporaConfig, corpora: list[Corpus], device: str) -> ModelSpec:
    """The model to score with, checked to have made the ids of every corpus."""
    if not corpora:
        raise FaithfulError("There is no corpus to study; name some, or make one with `faithful generate`.")
    if config.model:
        bos = bos_of([Corpus(config.own)] if config.own else corpora)
        spec = resolve_model(config.model, dtype=config.dtype, bos=bos, device=device)
    else:
        own = [corpus for corpus in corpora if corpus.manifest.kind == "own"]
        spec = spec_of((own or corpora)[0].manifest)
        spec = replace(spec, dtype=config.dtype) if config.dtype else spec
    for corpus in corpora:
        model = corpus.manifest.identity["model"]
        if model["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {model['name']}, whose tokenizer differs from {spec.name}'s;"
                f" add it again with `faithful corpus add … --for {spec.name}`."
            )
    return spec


def _own(folders: Sequence[Path], spec: ModelSpec) -> Path:
    for folder in folders:
        found = find_reference(folder, spec)
        if found is not None:
            return found
    raise FaithfulError(
        f"The corpora are held against {spec.name}'s own text at T 1, and none is among or beside them;"
        f" make one with `faithful generate --model {spec.name}`, or name it with --own."
    )


def _sweep(config: CorporaConfig, own: Path, spec: ModelSpec, budget: int, report: Reporter) -> list[Path]:
    """Own corpora at the settings of the sweep, beside the reference, made or completed."""
    settings: list[dict[str, float]] = [{"temperature": value} for value in config.temperatures]
    settings += [{"top_p": value} for value in config.top_ps]
    base = Corpus(own).manifest
    recorded = base.provenance["model"]
    folders = []
    for values in settings:
        sampling = sampling_of(base).with_changes(**values)
        if sampling == sampling_of(base):
            folders.append(own)
            continue
        seed = base.identity["seed"]
        folder = own.resolve().parent / ("own" + sampling.suffix(sampling.max_tokens) + (f"-s{seed}" if seed else ""))
        wish = GenerateConfig(
            model=recorded["source"],
            revision=None if spec.is_local else spec.revision,
            tokens=budget,
            out=folder,
            seed=seed,
            max_tokens=sampling.max_tokens,
            mode=sampling.mode,
            bos=spec.bos_id if recorded["bos_from"] == "--bos" else None,
            dtype=base.identity["model"]["dtype"],
            device=config.device,
            certify_tokens=0,
            **values,  # type: ignore[arg-type]
        )
        folders.append(generate(wish, _numbered(report, folder.name)).folder)
    return list(dict.fromkeys(folders))


def _numbered(report: Reporter, name: str) -> Reporter:
    return lambda point: report(replace(point, step=f"{name}: {point.step}"))


class _Bench:
    """Computes one corpus' figures, and keeps them in `cells/`, so that nothing is computed twice."""

    def __init__(
        self, config: CorporaConfig, spec: ModelSpec, own: Path, tokens: int, budget: int, device: str
    ) -> None:
        self.config, self.spec, self.own = config, spec, own
        self.tokens, self.budget, self.device = tokens, budget, device
        self.reused: list[str] = []
        self._model: Any = None
        self._reference: Reference | None = None
        self._tokenizer: Any = None

    def cell(self, corpus: Corpus, report: Reporter) -> dict[str, Any]:
        """The figures of a corpus."""
        path = self.config.out / "cells" / f"{corpus.name}.json"
        key = self._key(corpus)
        stored = read_cache(path)
        if stored is not None and stored["key"] == key:
            self.reused.append(corpus.name)
            return stored
        cell = {"key": key} | self._compute(corpus, report)
        write_record(path, cell)
        return cell

    def _key(self, corpus: Corpus) -> str:
        """Hash of everything that decides a cell."""
        files = [[shard.sha256 for shard in folder.manifest.shards[split]] for folder, split in (
            (corpus, "train"), (Corpus(self.own), "train"), (Corpus(self.own), "test"),
        )]  # fmt: skip
        spec = (self.spec.revision, self.spec.dtype, self.spec.bos_id)
        parts = [4, corpus.manifest.identity, files, spec, self.tokens, self.budget, self.config.seed, self.device]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _compute(self, corpus: Corpus, report: Reporter) -> dict[str, Any]:
        began = time.monotonic()
        if self._model is None:
            self._model = load_model(self.spec, self.device)
            self._tokenizer = load_tokenizer(self.spec.source, self.spec.hub_revision())
            self._reference = score_reference(self.own, self._model, self.spec, report=report)
        assert self._reference is not None
        part = choose_part(corpus, "train", self.tokens)
        bands = BandCounter()
        manifest = corpus.manifest
        drawn_in = manifest.identity["model"]["dtype"] if manifest.kind == "own" else None
        declares = _declared_sampling(manifest, self.spec)
        is_own = declares is not None and declares.is_model
        result = score_part(
            part,
            self._model,
            self.spec,
            Sampling(),
            as_declared=is_own,
            sampled_in=drawn_in,
            seed=self.config.seed,
            report=report,
            bands=bands,
        )
        figures = model_figures(part.documents, bands.result(), self._reference, self.spec, self.config.seed)
        text = budget_statistics(corpus, self._tokenizer, self.spec, self.budget, report=report)
        return {
            "name": corpus.name,
            "kind": manifest.kind,
            "tokens": corpus.tokens(),
            "sampling": manifest.identity.get("sampling"),
            "as_model": result | {"part": part.chosen},
            "as_declared": None if declares is None or is_own else self._declared(part, declares, drawn_in, report),
            "figures": figures,
            "text": text,
            "seconds": round(time.monotonic() - began, 2),
        }

    def _declared(self, part: Part, sampling: Sampling, drawn_in: str | None, report: Reporter) -> dict[str, Any]:
        """Verdict of an own corpus under the sampling it declares, by the study's model; the corpus itself is not touched."""
        if sampling.deterministic:
            return dict.fromkeys(DECLARED) | {"verdict": NO_CERTIFICATE, "tokens_scored": 0}
        result = score_part(
            part,
            self._model,
            self.spec,
            sampling,
            as_declared=True,
            sampled_in=drawn_in,
            seed=self.config.seed,
            report=report,
        )
        return {name: result[name] for name in DECLARED}


def _declared_sampling(manifest: Manifest, spec: ModelSpec) -> Sampling | None:
    """The sampling that an own corpus of this very model declares, None for any other text."""
    model = manifest.identity["model"]
    if manifest.kind != "own" or (model["revision"], model["bos_id"]) != (spec.revision, spec.bos_id):
        return None
    return sampling_of(manifest)


def _metrics(cell: dict[str, Any]) -> dict[str, Any]:
    """A corpus' figures by METRICS' names: a number, or a value with its interval."""
    figures, scored, text = cell["figures"], cell["as_model"], cell["text"]
    found = {metric: figures[metric] if metric in figures else scored[metric] for metric in MODEL_FIGURES}
    found |= {f"p_{test}": result["p"] for test, result in scored["tests"].items()}
    found |= {metric: text[metric] if metric in text else text["curves"][metric][-1] for metric in TEXT_FIGURES}
    for metric, interval in (("excess_ce", figures["excess_ce_ci95"]), ("surprise_gap", scored["ci95"])):
        found[metric] = {"value": found[metric], "ci95": interval}
    return found | {"verdict": scored["verdict"]}


def _rows(cells: list[dict[str, Any]], budget: int) -> list[Row]:
    """Every figure as a row of results.parquet; the parameter is the number of tokens it was computed on."""
    rows: list[Row] = []
    for cell in cells:
        scored = cell["as_model"]["tokens_scored"]
        computed_on = dict.fromkeys(TEXT_FIGURES, budget) | cell["text"]["computed_on"]
        computed_on |= dict.fromkeys(UNIGRAM_FIGURES, cell["figures"]["unigram_tokens"])
        for metric, value in _metrics(cell).items():
            tokens = computed_on.get(metric, scored)
            if isinstance(value, dict):
                rows.append(
                    Row("corpora", cell["name"], metric, value["value"], tokens, *(value["ci95"] or (None, None)))
                )
            elif metric != "verdict":
                rows.append(Row("corpora", cell["name"], metric, value, tokens))
        curves = cell["text"]["curves"]
        rows += [
            Row("corpora", cell["name"], metric, value, at)
            for metric in CURVES
            for at, value in zip(curves["budgets"][:-1], curves[metric][:-1], strict=True)
        ]
    return rows


def _by_excess_ce(cells: list[dict[str, Any]]) -> list[str]:
    """Names of the corpora by rising excess cross-entropy."""
    order = np.argsort([cell["figures"]["excess_ce"] for cell in cells])
    return [cells[place]["name"] for place in order]
