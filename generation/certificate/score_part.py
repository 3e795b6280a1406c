"""Score documents against a declared sampling and conclude: the numbers behind `faithful corpus certify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.progress import Progress, Reporter, silent
from faithful.models.spec import ModelSpec
from faithful.store.manifest_parts import Certificate
from generation.certificate.conclude import conclude
from generation.certificate.evidence import Evidence
from generation.sampling.distribution import Sampling
from generation.sampling.seeds import sample_seed, uniforms
from generation.scoring.chunks import chunk_sums, kept_sums
from generation.scoring.copies import copy_predictions, repeated_documents
from generation.scoring.excess import BandCounter
from generation.scoring.rounding import EXACT, ROUNDING_CAP, rounding_cap
from generation.scoring.scored_part import ScoredPart
from generation.scoring.scorer import Scorer, TokenScores

DELTA_TOKENS = 4096


class _Fold:
    """The evidence of some documents of a part, their sums by bands, and what stored log p differ by."""

    def __init__(self, part: ScoredPart, repeated: np.ndarray, evidence: Evidence, seed: int) -> None:
        self.part, self.repeated, self.evidence, self.seed = part, repeated, evidence, seed
        self.bands = BandCounter()
        self.differences = [np.empty(0, np.float32)]

    def add(self, places: list[int], scores: TokenScores) -> None:
        part = self.part
        noise = [
            _pit_uniforms(self.seed, int(part.indices[place]), int(length))
            for place, length in zip(places, scores.lengths, strict=True)
        ]
        first = np.array([part.documents[place][0] for place in places])
        self.evidence.add(scores, np.concatenate(noise), first, self.repeated[places])
        self.bands.add(scores)
        if part.log_p is not None:
            stored = np.concatenate([part.log_p[place] for place in places])
            self.differences.append(np.abs(stored - scores.log_p).astype(np.float32))

    def sums(self) -> dict[str, np.ndarray]:
        return self.evidence.sums() | {
            "bands": np.concatenate(self.bands.parts, axis=1),
            "differences": np.concatenate(self.differences),
        }


@dataclass(frozen=True)
class Scored:
    """The evidence of scored documents.

    Attributes:
        evidence: sums over all of them.
        delta, mismatch, cap: see `conclude`.
        seed: of the randomised transform and the bootstrap.
    """

    evidence: Evidence
    delta: float
    mismatch: float | None
    cap: float
    seed: int

    def certificate(self, *, as_declared: bool) -> Certificate:
        """The certificate; whether the corpus declares what it was scored against."""
        return conclude(
            self.evidence,
            declared=as_declared,
            delta=self.delta,
            mismatch=self.mismatch,
            cap=self.cap,
            seed=self.seed,
        )


def score_evidence(
    part: ScoredPart,
    model: Any,
    spec: ModelSpec,
    sampling: Sampling,
    *,
    sampled_in: str | None = None,
    seed: int = 0,
    report: Reporter = silent,
    bands: BandCounter | None = None,
    keep: tuple[Path, Any] | None = None,
) -> Scored:
    """Score documents chunk by chunk. Whether it was stopped in between does not show in the result.

    Args:
        part: the documents.
        model, spec: the model.
        sampling: the q to score against.
        sampled_in: dtype of the generating pass, None where unknown.
        seed: of the randomised transform and the bootstrap.
        report: progress.
        bands: takes the sums by bands of positions, for figures beside the certificate.
        keep: folder of the corpus, and JSON values that decide the part: the sums of each chunk are kept there, and those
            that are found are not computed again.
    """
    cap = max(rounding_cap(model), ROUNDING_CAP[sampled_in or spec.dtype])
    scorer = Scorer(model, spec, sampling)
    lengths = np.array([len(document) for document in part.documents])
    delta = min(cap, _sample_delta(scorer, part, int(lengths.max()))) if part.log_p is not None else cap
    scorer.delta, scorer.ties = delta, cap > EXACT
    first_token = next(scorer.in_order(lambda _: scorer.first_token(), [None], 1))
    population = part.population or len(part.documents)
    repeated = part.repeated if part.repeated is not None else repeated_documents(part.documents)
    predictions = part.predictions
    if predictions is None:
        predictions = copy_predictions(np.concatenate(part.documents), lengths)

    def evidence() -> Evidence:
        return Evidence(first_token, sampling.truncates, population)

    folder, decides = keep or (None, None)
    kept = kept_sums(folder, scorer, ["part", decides, seed, int(lengths.sum())])
    merged, differences, done = evidence(), [], 0
    for sums in chunk_sums(scorer, part.documents, predictions, lambda: _Fold(part, repeated, evidence(), seed), kept):
        merged.merge(sums)
        differences.append(sums["differences"])
        if bands is not None:
            bands.parts.append(sums["bands"])
        done += int(sums["tokens"])
        report(Progress("scoring", done, int(lengths.sum())))
    mismatch = float(np.percentile(np.concatenate(differences), 99.9)) if part.log_p is not None else None
    return Scored(merged, delta, mismatch, cap, seed)


def _sample_delta(scorer: Scorer, part: ScoredPart, longest: int) -> float:
    """99.9th percentile of |stored − scored log p| over the first documents."""
    assert part.log_p is not None
    lengths = np.cumsum([len(document) for document in part.documents])
    count = max(1, int(np.searchsorted(lengths, DELTA_TOKENS)))
    batches = list(scorer.batches(part.documents[:count]))
    texts = ([part.documents[place] for place in batch] for batch in batches)
    differences = []
    for batch, scored in zip(batches, scorer.in_order(scorer.log_p, texts, longest), strict=True):
        differences.append(np.abs(np.concatenate([part.log_p[place] for place in batch]) - scored))
    return float(np.percentile(np.concatenate(differences), 99.9))


def _pit_uniforms(seed: int, index: int, count: int) -> np.ndarray:
    return uniforms(np.array([sample_seed(seed, "pit", index)]), count)[0]
