"""`faithful study corpora`: how far each corpus is from the model's own text, and how diverse it is, on equal terms.

Every corpus is scored under the model's own distribution (T 1, nothing truncated) on about the same number of tokens, and
described on its first N tokens, N the same for all: the sums of its shards are merged, the rest comes from one pass through
sketches. Nothing is replicated here, so there are intervals but no verdicts between corpora; the certificate's verdict says
whether a corpus can be the model's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faithful.base.devices import check_device
from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent, within
from faithful.base.quantities import check_stated
from faithful.executor.where import refuse_unsharded
from faithful.models.spec import ModelSpec, check_dtype, resolve_model, with_load
from faithful.options.line import command_line
from faithful.store.corpora_of_saes import bos_of, loaded_otherwise
from faithful.store.corpus import Corpus
from faithful.store.manifest_parts import ModelPart
from faithful.store.places import corpora_in
from generation.certificate.certify import DEFAULT_TOKENS
from generation.certificate.reference import find_reference, refuse_other
from generation.configs.add import AddConfig
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from generation.writing.identity import sampling_of, spec_of
from generation.writing.statistics import NEAR_TOKENS
from studies.common.results import Done, Row, write_results
from studies.corpora import figures as corpora_figures
from studies.corpora.config import CorporaConfig
from studies.corpora.measure import Bench
from studies.corpora.summary import CorporaSummary, CorpusCell
from studies.statistics.records import Measures

SWEEP_LIMIT = 1_000_000
UNIGRAM_FIGURES = ("unigram_js", "unigram_js_floor", "unigram_js_floor_max")
MODEL_FIGURES = (
    "surprise_gap", "excess_ce", "ce", "entropy", "perplexity", "first_token_kl", "first_token_kl_reverse",
    "first_token_js", "first_token_js_floor", *UNIGRAM_FIGURES, "p_holm",
)  # fmt: skip
TEXT_FIGURES = (
    "vocab_coverage", "type_token", "distinct_1", "distinct_2", "distinct_3", "distinct_4", "compression_ratio",
    "duplicate_rate", "near_duplicate_rate", "repetition_rate", "round_trip_rate", "unmapped_rate", "eos_rate",
    "length_mean", "length_median", "length_p95",
)  # fmt: skip
CURVES = ("vocab_coverage", "type_token", "distinct_1", "distinct_2", "distinct_3", "distinct_4")


def study_corpora(config: CorporaConfig, report: Reporter = silent) -> Done:
    """Compare corpora; running it again takes what is finished as it is.

    Raises:
        FaithfulError: a device that is not there, no corpora, two of one name, different tokenizers, no own corpus to hold
            them against, a damaged corpus, a type that is none, a model that cannot be loaded.
    """
    check_stated(config)
    device = check_device(config.device)
    if config.shard_model:
        refuse_unsharded(device, None)
    config = replace(config, folders=tuple(corpora_in(*config.folders)))
    corpora = _open(config.folders)
    spec = _model(config, corpora, device)
    own = config.own or _own(config.folders, spec)
    refuse_other(own, spec)
    most = config.budget or (SWEEP_LIMIT if config.temperatures or config.top_ps else None)
    budget = min(corpus.tokens() for corpus in corpora)
    budget = min(budget, most) if most else budget
    swept = _sweep(config, own, spec, budget, report)
    corpora += [corpus for corpus in _open(swept) if corpus.name not in {c.name for c in corpora}]
    tokens = min(config.tokens or DEFAULT_TOKENS[device], *(corpus.tokens() for corpus in corpora))
    with folder_lock(config.out):
        bench = Bench(config, spec, own, tokens, budget, device)
        cells: list[CorpusCell] = []
        for place, corpus in enumerate(corpora):
            report_one = within(report, f"{corpus.name} ({place + 1}/{len(corpora)})")
            cells.append(bench.cell(corpus, report_one))
        summary: CorporaSummary = {
            "study": "corpora",
            "model": {"name": spec.name, "revision": spec.revision, "dtype": spec.precision},
            "reference": own.resolve().name,
            "tokens_scored": tokens,
            "diversity_tokens": budget,
            "near_duplicate_tokens": min(budget, NEAR_TOKENS),
            "seed": config.seed,
            "corpora": {cell["name"]: _metrics(cell) for cell in cells},
            "contrasts": [],
            "cells": {cell["name"]: cell for cell in cells},
        }
        loads = [said for said in (loaded_otherwise(corpus, spec) for corpus in corpora) if said]
        if loads:
            summary["loads"] = loads
        write_results(config.out, summary, _rows(cells, budget))
        corpora_figures.draw(cells, config.out / "figures")
    return Done(config.out, summary, len(bench.reused), tuple(bench.reused))


def _open(folders: Sequence[Path]) -> list[Corpus]:
    corpora = [Corpus(folder) for folder in folders]
    names = [corpus.name for corpus in corpora]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FaithfulError(f"Two corpora are named {twice[0]}; a corpus' name is its folder's name, so rename one.")
    for corpus in corpora:
        if not corpus.tokens():
            raise FaithfulError(f"{corpus.folder} holds no train tokens yet; complete it or leave it out.")
        corpus.refuse_damaged("train")
    return corpora


def _model(config: CorporaConfig, corpora: list[Corpus], device: str) -> ModelSpec:
    """The model to score with, checked to have made the ids of every corpus."""
    if not corpora:
        raise FaithfulError("There is no corpus to study; name some, or make one with `faithful generate`.")
    own = [Corpus(config.own)] if config.own else [corpus for corpus in corpora if corpus.manifest.kind == "own"]
    if config.model:
        bos = bos_of([Corpus(config.own)] if config.own else corpora)
        spec = resolve_model(config.model, dtype=config.dtype, bos=bos, device=device)
    else:
        spec = spec_of((own or corpora)[0].manifest)
        spec = replace(spec, dtype=check_dtype(config.dtype)) if config.dtype else spec
    recorded = next((one.manifest.identity["model"] for one in own), ModelPart())
    is_theirs = recorded.get("revision") == spec.revision
    load = config.load or (recorded.get("load") if is_theirs else None)
    spec = replace(with_load(spec, load), sharded=config.shard_model)
    for corpus in corpora:
        model = corpus.manifest.identity["model"]
        if model["tokenizer_sha256"] != spec.tokenizer_sha256:
            raise FaithfulError(
                f"{corpus.folder} was tokenised for {model['name']}, whose tokenizer differs from {spec.name}'s;"
                f" add it again with `{command_line(AddConfig, name='SOURCE', model=spec.asked)}`."
            )
    return spec


def _own(folders: Sequence[Path], spec: ModelSpec) -> Path:
    for folder in folders:
        found = find_reference(folder, spec)
        if found is not None:
            return found
    raise FaithfulError(
        f"The corpora are held against {spec.name}'s own text at T 1, and none is among or beside them;"
        f" make one with `{command_line(GenerateConfig, model=spec.asked, load=spec.load)}`, or name it with --own."
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
        name = "own" + (f"-{spec.load}" if spec.load else "") + sampling.suffix(sampling.max_tokens)
        folder = own.resolve().parent / (name + (f"-s{seed}" if seed else ""))
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
            load=spec.load or "full",
            device=config.device,
            certify_tokens=0,
            **values,  # type: ignore[arg-type]
        )
        folders.append(generate(wish, within(report, folder.name)).folder)
    return list(dict.fromkeys(folders))


def _metrics(cell: CorpusCell) -> Measures:
    """A corpus' figures by the names of docs/metrics.md: a number, or a value with its interval."""
    scored: Mapping[str, Any] = cell["as_model"]
    figures, text = cell["figures"], cell["text"]
    found = {metric: figures[metric] if metric in figures else scored[metric] for metric in MODEL_FIGURES}
    found |= {f"p_{test}": result["p"] for test, result in scored["tests"].items()}
    found |= {metric: text[metric] if metric in text else text["curves"][metric][-1] for metric in TEXT_FIGURES}
    for metric, interval in (("surprise_gap", scored["ci95"]), ("excess_ce", figures["excess_ce_ci95"])):
        found[metric] = {"value": found[metric], "ci95": interval}
    return found | {"verdict": scored["verdict"]}


def _rows(cells: list[CorpusCell], budget: int) -> list[Row]:
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
