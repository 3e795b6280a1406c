"""`faithful corpus certify`: score a corpus, or a stated part of it, and write the certificate."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from faithful.corpus import Corpus, Manifest, flat_tokens, intact_shards, read_manifest, write_manifest
from faithful.devices import check_device
from faithful.errors import FaithfulError
from faithful.files import append_line, folder_lock
from faithful.model import ModelSpec, check_dtype, load_model
from generation.certificate import NO_CERTIFICATE, Evidence, conclude
from generation.copies import copy_predictions, repeated_documents
from generation.excess import BandCounter
from generation.identity import sampling_of, spec_of
from generation.near_duplicates import document_hashes, repeats
from generation.progress import Progress, Reporter, silent
from generation.reference import find_reference, model_figures, score_reference
from generation.rounding import EXACT, ROUNDING_CAP, rounding_cap
from generation.sampling import Sampling
from generation.scoring import Scorer, TokenScores
from generation.seeds import sample_seed, uniforms

DEFAULT_TOKENS = {"cpu": 100_000, "cuda": 1_000_000}
CHUNK = 256
KEYS = (
    "surprise_gap", "ci95", "z", "p_value", "p_holm", "tests", "impossible_share", "boundary_share", "tokens_scored",
    "verdict",
)  # fmt: skip
DELTA_TOKENS = 4096


@dataclass(frozen=True)
class CertifyConfig:
    """What to certify and against what.

    Attributes:
        folder: the corpus.
        split: `train` or `test`.
        tokens: about how many tokens to score; None is 100k on a CPU and 1M on a GPU.
        everything: score the whole split.
        as_temperature, as_top_p, as_top_k, as_min_p, as_repetition_penalty: score under another declared q.
        device: `cpu` or `cuda`; by default what the machine has.
        dtype: type of the scoring pass; by default that of the corpus.
        seed: of the randomised transform and the bootstrap.
    """

    folder: Path
    split: str = "train"
    tokens: int | None = None
    everything: bool = False
    as_temperature: float | None = None
    as_top_p: float | None = None
    as_top_k: int | None = None
    as_min_p: float | None = None
    as_repetition_penalty: float | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int = 0

    def overrides(self) -> dict[str, Any]:
        """The sampling fields to score under in place of the declared ones."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        values = {name: getattr(self, f"as_{name}") for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Part:
    """The documents that are scored, in index order.

    Attributes:
        documents: token ids of each.
        indices: int64, their index in the split.
        log_p: stored log p of each, None where nothing is stored.
        chosen: how they were chosen, in words.
        repeated: bool, whether an exact copy stands earlier in the whole split; None looks for copies among `documents`.
        population: documents of the whole split; None is their own number.
    """

    documents: list[np.ndarray]
    indices: np.ndarray
    log_p: list[np.ndarray] | None
    chosen: str
    repeated: np.ndarray | None = None
    population: int | None = None


def certify(config: CertifyConfig, report: Reporter = silent, model: Any = None) -> dict[str, Any]:
    """Certificate of a corpus; stored in its manifest when it is scored as declared, else `not_stored` may say why not.

    Args:
        config: what and how.
        report: progress.
        model: the loaded model, to save loading it again.

    Raises:
        FaithfulError: no corpus, an empty split, damaged shards, a model that cannot be loaded or gives NaN, an unknown
            device or dtype.
    """
    device = check_device(config.device)
    corpus = Corpus(config.folder)
    manifest = corpus.manifest
    if config.split not in manifest.shards:
        raise FaithfulError(f"'{config.split}' is not a split; choose train or test.")
    if corpus.tokens(config.split) == 0:
        raise FaithfulError(
            f"{config.folder} holds no {config.split} tokens yet; run the command that makes it again to fill it."
        )
    refuse_damaged(corpus, config.split)
    began = time.time()
    declared = sampling_of(manifest) if manifest.kind == "own" else Sampling()
    sampling = replace(declared, **config.overrides(), greedy=True)
    if sampling.deterministic:
        return dict.fromkeys(KEYS) | {"verdict": NO_CERTIFICATE, "tokens_scored": 0, "tests": {}}
    sampling = replace(sampling, greedy=declared.greedy)
    as_declared = manifest.kind == "own" and sampling == declared
    spec = spec_of(manifest)
    if config.dtype:
        spec = replace(spec, dtype=check_dtype(config.dtype))
    limit = None if config.everything else config.tokens or DEFAULT_TOKENS[device]
    part = choose_part(corpus, config.split, limit)
    model = model if model is not None else load_model(spec, device)
    sampled_in = manifest.identity["model"]["dtype"] if manifest.kind == "own" else None
    bands = BandCounter()
    result = score_part(
        part,
        model,
        spec,
        sampling,
        as_declared=as_declared,
        sampled_in=sampled_in,
        seed=config.seed,
        report=report,
        watch=bands.add,
    )
    own = find_reference(config.folder, spec)
    if own is not None:
        reference = score_reference(own, model, spec, report=report)
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
    usual = as_declared or (manifest.kind != "own" and not config.overrides())
    if (
        usual
        and config.split == "train"
        and spec.dtype == spec_of(manifest).dtype
        and os.access(config.folder, os.W_OK)
    ):
        not_stored = _store(config.folder, manifest, result, time.time() - began)
        result = result | {"stored": not_stored is None} | ({"not_stored": not_stored} if not_stored else {})
    return result


def refuse_damaged(corpus: Corpus, split: str) -> None:
    """Refuse a split with a shard that is missing or does not have its checksum."""
    shards = corpus.manifest.shards[split]
    damaged = [
        shard.file for shard, whole in zip(shards, intact_shards(corpus.folder, shards), strict=True) if not whole
    ]
    if damaged:
        raise FaithfulError(
            f"{corpus.folder / damaged[0]} is missing or damaged; run the command that made the corpus again to restore it."
        )


def _store(folder: Path, scored: Manifest, result: dict[str, Any], seconds: float) -> str | None:
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
        began = time.gmtime(time.time() - seconds)
        append_line(
            folder / "log.jsonl",
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", began),
                "command": "certify",
                "seconds": round(seconds, 2),
                "tokens_per_second": round(result["tokens_scored"] / seconds, 1),
            },
        )
    return None


def choose_part(corpus: Corpus, split: str, limit: int | None) -> Part:
    """All documents, or about `limit` tokens of whole documents chosen by a hash of their index.

    Holds those, and 16 bytes for every document of the split: a copy counts whether or not the first one is scored.
    """
    total = corpus.tokens(split)
    share = 1.0 if limit is None or limit >= total else limit / total
    documents: list[np.ndarray] = []
    indices: list[int] = []
    log_p: list[np.ndarray] = []
    hashes: list[np.ndarray] = []
    for batch in corpus.batches(split, ["index", "token_ids", "logprob_p"]):
        tokens, offsets = flat_tokens(batch)
        hashes.append(document_hashes(tokens, offsets))
        index = batch.column("index").to_numpy()
        taken = uniforms(index, 1)[:, 0] < share
        stored = batch.column("logprob_p")
        for row in np.flatnonzero(taken & (np.diff(offsets) > 0)):
            documents.append(tokens[offsets[row] : offsets[row + 1]])
            indices.append(int(index[row]))
            if stored[row].is_valid:
                log_p.append(stored[row].values.to_numpy(zero_copy_only=False))
    if not documents:
        raise FaithfulError(f"No document of {corpus.folder} falls into the part scored; score more --tokens.")
    chosen = "every document" if share == 1 else f"{share:.3g} of the documents, chosen by a hash of their index"
    complete = len(log_p) == len(documents)
    repeated = repeats(np.concatenate(hashes, axis=1))[np.array(indices)]
    return Part(
        documents, np.array(indices), log_p if complete else None, chosen, repeated, corpus.manifest.rows(split)
    )


def score_part(
    part: Part,
    model: Any,
    spec: ModelSpec,
    sampling: Sampling,
    *,
    as_declared: bool,
    sampled_in: str | None = None,
    seed: int = 0,
    report: Reporter = silent,
    watch: Callable[[TokenScores], None] = lambda scores: None,
) -> dict[str, Any]:
    """Score documents against a declared sampling and conclude; the numbers behind `certify`.

    Args:
        part: the documents.
        model, spec: the model.
        sampling: the q to score against.
        as_declared: whether the corpus declares that q.
        sampled_in: dtype of the generating pass, None where unknown.
        seed: of the randomised transform and the bootstrap.
        report: progress.
        watch: called with every batch of scores, for figures beside the certificate.
    """
    cap = max(rounding_cap(model), ROUNDING_CAP[sampled_in or spec.dtype])
    scorer = Scorer(model, spec, sampling)
    delta = min(cap, _sample_delta(scorer, part)) if part.log_p is not None else cap
    scorer.delta, scorer.ties = delta, cap > EXACT
    lengths = np.array([len(document) for document in part.documents])
    ends = np.cumsum(lengths)
    predictions = copy_predictions(np.concatenate(part.documents), lengths)
    repeated = part.repeated if part.repeated is not None else repeated_documents(part.documents)
    evidence = Evidence(scorer.first_token(), sampling.truncates, part.population or len(part.documents))
    differences: list[np.ndarray] = []
    done = 0
    for batch in _batches(scorer, part.documents):
        documents = [part.documents[place] for place in batch]
        guesses = np.concatenate([predictions[ends[place] - lengths[place] : ends[place]] for place in batch])
        scores = scorer.score(documents, guesses)
        noise = np.concatenate([_pit_uniforms(seed, int(part.indices[place]), lengths[place]) for place in batch])
        first = np.array([document[0] for document in documents])
        evidence.add(scores, noise, first, repeated[batch])
        watch(scores)
        if part.log_p is not None:
            stored = np.concatenate([part.log_p[place] for place in batch])
            differences.append(np.abs(stored - scores.log_p).astype(np.float32))
        done += len(guesses)
        report(Progress("scoring", done, int(ends[-1])))
    mismatch = float(np.percentile(np.concatenate(differences), 99.9)) if differences else None
    return conclude(evidence, declared=as_declared, delta=delta, mismatch=mismatch, cap=cap, seed=seed)


def _batches(scorer: Scorer, documents: list[np.ndarray]) -> Iterator[list[int]]:
    """Batches of places, chunk by chunk in index order, like lengths together inside a chunk."""
    for begin in range(0, len(documents), CHUNK):
        for batch in scorer.batches(documents[begin : begin + CHUNK]):
            yield [begin + place for place in batch]


def _sample_delta(scorer: Scorer, part: Part) -> float:
    """99.9th percentile of |stored − scored log p| over the first documents."""
    assert part.log_p is not None
    lengths = np.cumsum([len(document) for document in part.documents])
    count = max(1, int(np.searchsorted(lengths, DELTA_TOKENS)))
    differences = []
    for batch in _batches(scorer, part.documents[:count]):
        stored = np.concatenate([part.log_p[place] for place in batch])
        differences.append(np.abs(stored - scorer.log_p([part.documents[place] for place in batch])))
    return float(np.percentile(np.concatenate(differences), 99.9))


def _pit_uniforms(seed: int, index: int, count: int) -> np.ndarray:
    return uniforms(np.array([sample_seed(seed, "pit", index)]), int(count))[0]
