"""`faithful corpus certify`: score a corpus, or a stated part of it, and write the certificate."""

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from faithful.base.devices import check_device
from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock, log_work
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.executor.where import refuse_unsharded
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec, check_dtype, with_load
from faithful.store.corpus import Corpus, Manifest, read_manifest, write_manifest
from faithful.store.manifest_parts import Certificate
from generation.certificate.conclude import NO_CERTIFICATE
from generation.certificate.reference import corpus_files, find_reference, model_figures, score_reference
from generation.certificate.retokenised import held_against_drawn, undecided_with_text
from generation.certificate.score_part import score_evidence
from generation.configs.certify import CertifyConfig
from generation.sampling.distribution import Sampling
from generation.scoring.excess import BandCounter
from generation.scoring.kept_sums import forget_sums
from generation.scoring.scored_part import choose_part
from generation.writing.identity import declares_sampling, drawn_in, is_retokenised, sampling_of, spec_of

DEFAULT_TOKENS = {"cpu": 100_000, "cuda": 1_000_000}
KEYS = (
    "surprise_gap", "ci95", "z", "p_value", "p_holm", "tests", "impossible_share", "boundary_share", "tokens_scored",
    "verdict",
)  # fmt: skip


def certify(config: CertifyConfig, report: Reporter = silent, model: Any = None) -> Certificate:
    """Certificate of a corpus; stored in its manifest when it is scored as declared, else `not_stored` may say why not.

    Holds what is scored (12 bytes per token, 0.6 kB per document), a batch of the rest at a time, and what looking for
    copies takes: see `choose_part`. Stopped, it goes on from the sums of the chunks that were finished.

    Args:
        config: what and how.
        report: progress.
        model: the loaded model, to save loading it again.

    Raises:
        FaithfulError: no corpus, an empty split, damaged shards, a model that cannot be loaded or gives NaN, an unknown
            device or dtype.
    """
    check_stated(config)
    device = check_device(config.device)
    if config.shard_model:
        refuse_unsharded(device, None)
    corpus = _whole_corpus(config)
    manifest = corpus.manifest
    began = time.time()
    declares = declares_sampling(manifest)
    declared = sampling_of(manifest) if declares else Sampling()
    sampling = replace(declared, **config.overrides(), greedy=True)
    if sampling.deterministic:
        return cast(Certificate, dict.fromkeys(KEYS) | {"verdict": NO_CERTIFICATE, "tokens_scored": 0, "tests": {}})
    sampling = replace(sampling, greedy=declared.greedy)
    as_declared = declares and sampling == declared
    spec = _spec_stated(config, spec_of(manifest))
    limit = None if config.everything else config.tokens or DEFAULT_TOKENS[device]
    part = choose_part(corpus, config.split, limit, report)
    model = model if model is not None else load_model(spec, device)
    bands = BandCounter()
    scored = score_evidence(
        part,
        model,
        spec,
        sampling,
        sampled_in=drawn_in(manifest),
        seed=config.seed,
        report=report,
        bands=bands,
        keep=(config.folder, [corpus_files(corpus, config.split), part.chosen]),
    )
    # The declared variance is that of tokens drawn from q, which those of texts that were tokenised again are not.
    result = scored.certificate(as_declared=as_declared and not is_retokenised(manifest))
    if is_retokenised(manifest):
        result |= held_against_drawn(manifest, scored, result, part, model, spec, sampling, report)
    result |= undecided_with_text(manifest, result)
    own = find_reference(config.folder, spec)
    if own is not None and (own.resolve(), config.split) != (config.folder.resolve(), "test"):
        reference = score_reference(own, model, spec, report=report, keep=config.folder)
        result |= model_figures(part.documents, bands.result(), reference, spec, config.seed)
    result |= {
        "split": config.split,
        "split_tokens": corpus.tokens(config.split),
        "part": part.chosen,
        "sampling": sampling.to_dict(),
        "as_declared": as_declared,
        "seed": config.seed,
        "dtype": spec.dtype,
    }
    if spec.load:
        result["load"] = spec.load
    as_usual = as_declared or (not declares and not config.overrides())
    in_its_precision = spec.precision == spec_of(manifest).precision
    if config.split == "train" and as_usual and in_its_precision and os.access(config.folder, os.W_OK):
        not_stored = _store(config.folder, manifest, result, time.time() - began)
        result = result | {"stored": not_stored is None} | ({"not_stored": not_stored} if not_stored else {})
    forget_sums(config.folder)
    return result


def _whole_corpus(config: CertifyConfig) -> Corpus:
    """The corpus, whose split holds tokens and no damage."""
    corpus = Corpus(config.folder)
    if config.split not in corpus.manifest.shards:
        raise FaithfulError(f"'{config.split}' is not a split; choose train or test.")
    if corpus.tokens(config.split) == 0:
        raise FaithfulError(
            f"{config.folder} holds no {config.split} tokens yet; run the command that makes it again to fill it."
        )
    corpus.refuse_damaged(config.split)
    return corpus


def _spec_stated(config: CertifyConfig, spec: ModelSpec) -> ModelSpec:
    """The corpus' model, loaded as the options state."""
    if config.dtype:
        spec = replace(spec, dtype=check_dtype(config.dtype))
    return replace(with_load(spec, config.load), sharded=config.shard_model)


def _store(folder: Path, scored: Manifest, result: Certificate, seconds: float) -> str | None:
    """Put the certificate into the manifest; the reason where that is not possible."""
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_lock(folder))
        except FaithfulError:
            return "another process is writing it, or it cannot be locked"
        manifest = read_manifest(folder)
        before = manifest.certificate
        if manifest.shards != scored.shards:
            return "the corpus has changed since it was scored"
        if before and before["tokens_scored"] > result["tokens_scored"]:
            return "a larger part of the corpus was certified before"
        manifest.certificate = result
        write_manifest(folder, manifest)
        log_work(folder, "certify", seconds, tokens=result["tokens_scored"])
    return None
