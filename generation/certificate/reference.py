"""The model's own T 1 corpus as the point of reference, and the figures that hold another corpus against it."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter, silent
from faithful.models.spec import ModelSpec
from faithful.options.line import command_line
from faithful.store.corpus import MANIFEST, Corpus, Manifest, read_manifest
from faithful.store.manifest_parts import Certificate
from generation.certificate.divergences import MAX_FLOOR_BLOCKS, first_token_divergences, unigram_floor, unigram_js
from generation.configs.generate import GenerateConfig
from generation.sampling.distribution import Sampling
from generation.scoring.chunks import chunk_sums, kept_sums
from generation.scoring.excess import BandCounter, BandSums, excess_ce
from generation.scoring.scorer import Scorer, TokenScores
from generation.writing.identity import sampling_of

REFERENCE_TOKENS = {"cpu": 50_000, "cuda": 1_000_000}


@dataclass(frozen=True)
class Reference:
    """Held-out text of the model's own T 1 corpus, scored.

    Attributes:
        name: the corpus.
        sums: surprise and entropy by band of positions.
        tokens: int64 [tokens], the held-out documents joined.
        train: int64 [tokens], the head of its training split, at most 20 times as long.
        first_token: float64 [vocab], q(·; BOS).
    """

    name: str
    sums: BandSums
    tokens: np.ndarray
    train: np.ndarray
    first_token: np.ndarray


def is_reference(manifest: Manifest, spec: ModelSpec) -> bool:
    """Whether a corpus is the model's own distribution: T 1, nothing truncated, no penalty, with held-out text."""
    if manifest.kind != "own" or not manifest.tokens("test"):
        return False
    model = manifest.identity["model"]
    same = (model["revision"], model["bos_id"], model.get("load")) == (spec.revision, spec.bos_id, spec.load)
    return same and sampling_of(manifest).is_model


def find_reference(folder: Path, spec: ModelSpec) -> Path | None:
    """The corpus itself if it is a reference, else one beside it that can be read, `own` first."""
    beside = sorted(path.parent for path in folder.resolve().parent.glob(f"*/{MANIFEST}"))
    for path in (folder, folder.resolve().parent / "own", *beside):
        with suppress(FaithfulError):
            if (path / MANIFEST).exists() and is_reference(read_manifest(path), spec):
                return path
    return None


def refuse_other(folder: Path, spec: ModelSpec) -> None:
    """Make sure that a corpus can be the reference.

    Raises:
        FaithfulError: it is not the model's own distribution.
    """
    if not is_reference(read_manifest(folder), spec):
        raise FaithfulError(
            f"{folder} is not sampled from {spec.name} at T 1 with nothing truncated, so it cannot be the reference;"
            f" make one with `{command_line(GenerateConfig, model=spec.asked, load=spec.load)}`."
        )


class _Fold:
    """The sums of some documents by bands."""

    def __init__(self) -> None:
        self.bands = BandCounter()

    def add(self, places: list[int], scores: TokenScores) -> None:
        self.bands.add(scores)

    def sums(self) -> dict[str, np.ndarray]:
        return {"bands": np.concatenate(self.bands.parts, axis=1)}


def score_reference(
    folder: Path,
    model: Any,
    spec: ModelSpec,
    limit: int | None = None,
    report: Reporter = silent,
    keep: Path | None = None,
) -> Reference:
    """Score the held-out split of the model's own corpus, its first documents with about `limit` tokens.

    Args:
        folder: the corpus.
        model, spec: its model.
        limit: tokens; None is 50k on a CPU and 1M on a GPU.
        report: progress.
        keep: folder of the corpus beside which finished sums are kept until all are there.

    Raises:
        FaithfulError: the corpus is not the model's own distribution.
    """
    refuse_other(folder, spec)
    corpus = Corpus(folder)
    scorer = Scorer(model, spec, Sampling())
    limit = limit or REFERENCE_TOKENS[scorer.device.type]
    documents = first_documents(corpus.documents("test"), limit)
    total = sum(map(len, documents))
    counter, done = BandCounter(), 0
    kept = kept_sums(keep, scorer, ["reference", corpus_files(corpus, "test"), limit])
    for sums in chunk_sums(scorer, documents, None, _Fold, kept):
        counter.parts.append(sums["bands"])
        done += int(sums["tokens"])
        report(Progress("reference", done, total))
    tokens = np.concatenate(documents)
    train = np.concatenate(first_documents(corpus.documents(), MAX_FLOOR_BLOCKS * len(tokens)))
    first_token = next(scorer.in_order(lambda _: scorer.first_token(), [None], 1))
    return Reference(corpus.name, counter.result(), tokens, train, first_token)


def corpus_files(corpus: Corpus, split: str) -> list[str]:
    """What decides the documents of a split: the checksums of its shards."""
    return [shard.sha256 for shard in corpus.manifest.shards[split]]


def first_documents(documents: Iterable[np.ndarray], tokens: int) -> list[np.ndarray]:
    """The shortest prefix with at least so many tokens, or all there are; documents without tokens are left out."""
    chosen: list[np.ndarray] = []
    for document in documents:
        if tokens <= 0:
            break
        if len(document):
            chosen.append(document)
            tokens -= len(document)
    return chosen


def model_figures(
    documents: list[np.ndarray], sums: BandSums, reference: Reference, spec: ModelSpec, seed: int
) -> Certificate:
    """The corpus figures that need the model (docs/metrics.md, "Corpus"), of scored documents.

    Args:
        documents: token ids, none empty.
        sums: their sums from the scoring pass.
        reference: the model's own text.
        spec: the model.
        seed: of the bootstrap, and of the draws behind the first tokens' floor.

    Returns:
        `ce`, `perplexity`, `entropy`, `excess_ce`, `excess_ce_ci95` (None for one document), `first_token_kl` and
        `first_token_kl_reverse` (None with too few documents), `first_token_js` and `first_token_js_floor`, `unigram_js` with
        the number of tokens compared on both sides, its self-floor (mean and largest) and the reference's name.
    """
    excess, interval = excess_ce(sums, reference.sums, seed)
    counts = np.bincount([int(document[0]) for document in documents], minlength=spec.vocab_size)
    first = first_token_divergences(counts, reference.first_token, seed)
    tokens = np.concatenate(documents)
    size = min(len(tokens), len(reference.tokens))
    floor, largest = unigram_floor(reference.train, reference.tokens[:size], spec.vocab_size)
    return {
        "ce": sums.ce,
        "perplexity": math.exp(sums.ce),
        "entropy": sums.mean_entropy,
        "excess_ce": excess,
        "excess_ce_ci95": interval,
        "first_token_kl": first.kl,
        "first_token_kl_reverse": first.kl_reverse,
        "first_token_js": first.js,
        "first_token_js_floor": first.js_floor,
        "unigram_js": unigram_js(tokens[:size], reference.tokens[:size], spec.vocab_size),
        "unigram_js_floor": floor,
        "unigram_js_floor_max": largest,
        "unigram_tokens": size,
        "reference": reference.name,
    }
