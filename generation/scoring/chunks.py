"""Documents scored chunk by chunk, their sums kept, so that a scoring that was stopped goes on where it was."""

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from faithful.base.errors import FaithfulError
from generation.scoring.kept_sums import KeptSums
from generation.scoring.scorer import Scorer, TokenScores

CHUNK, CHUNK_TOKENS = 256, {"cpu": 1 << 12, "cuda": 1 << 18}
FORMAT = 1


class Batch(NamedTuple):
    """Documents that are scored together.

    Attributes:
        places: of the documents among all.
        documents: token ids of each.
        predictions: int64, joined.
    """

    places: list[int]
    documents: list[np.ndarray]
    predictions: np.ndarray


class Fold(Protocol):
    """Sums over the scores of some documents."""

    def add(self, places: list[int], scores: TokenScores) -> None:
        """Take the scores of the documents at some places."""

    def sums(self) -> dict[str, np.ndarray]:
        """The sums as arrays."""


def kept_sums(corpus: Path | None, scorer: Scorer, decides: Any) -> KeptSums:
    """Where the sums of a scoring are kept.

    Args:
        corpus: folder, None to keep nothing.
        scorer: what scores.
        decides: JSON values that decide the sums beside it.
    """
    if corpus is None:
        return KeptSums(None, None)
    spec, sampling = scorer.spec, scorer.sampling
    model = [spec.revision, spec.tokenizer_sha256, spec.precision, spec.bos_id, list(spec.eos_ids)]
    versions = [metadata.version(name) for name in ("torch", "transformers", "numpy")]
    how = [sampling.to_dict(), scorer.delta, scorer.ties, scorer.device.type]
    cut = [CHUNK, CHUNK_TOKENS[scorer.device.type]]
    return KeptSums(corpus, [FORMAT, cut, model, versions, how, decides])


def chunk_sums(
    scorer: Scorer,
    documents: list[np.ndarray],
    predictions: np.ndarray | None,
    fold: Callable[[], Fold],
    kept: KeptSums,
) -> Iterator[dict[str, np.ndarray]]:
    """The sums of consecutive documents, chunk after chunk; what is kept is not computed again.

    Args:
        scorer: scores them.
        documents: token ids, none empty.
        predictions: as from `copy_predictions`, joined; None bets on nothing.
        fold: makes empty sums.
        kept: where they are kept.

    Yields:
        What `fold` gives of a chunk, and its number of `tokens`.
    """
    lengths = np.array([len(document) for document in documents])
    ends = np.cumsum(lengths)
    borders = _borders(lengths, CHUNK_TOKENS[scorer.device.type])
    known = {number for number in range(len(borders)) if kept.load(number) is not None}
    missing = [border for number, border in enumerate(borders) if number not in known]

    def batches() -> Iterator[Batch]:
        for first, last in missing:
            for batch in scorer.batches(documents[first:last]):
                places = [first + place for place in batch]
                guesses = [
                    np.full(lengths[at], -1) if predictions is None else predictions[ends[at] - lengths[at] : ends[at]]
                    for at in places
                ]
                joined = np.concatenate(guesses).astype(np.int64)
                yield Batch(places, [documents[at] for at in places], joined)

    def score(batch: Batch) -> tuple[list[int], TokenScores]:
        return batch.places, scorer.score(batch.documents, batch.predictions)

    results = scorer.in_order(score, batches(), int(lengths.max()))
    for number, (first, last) in enumerate(borders):
        if number in known:
            sums = kept.load(number)
            if sums is None:
                raise FaithfulError(f"{kept.folder} changed while it was read; run the same command again.")
            yield sums
            continue
        open_, left = fold(), last - first
        while left:
            places, scores = next(results)
            open_.add(places, scores)
            left -= len(places)
        found = open_.sums() | {"tokens": np.array(lengths[first:last].sum())}
        kept.save(number, found)
        yield found


def _borders(lengths: np.ndarray, tokens: int) -> list[tuple[int, int]]:
    """Chunks of at most `CHUNK` documents, each the shortest with so many tokens: first and one past the last."""
    borders, first, held = [], 0, 0
    for place, length in enumerate(lengths.tolist(), 1):
        held += length
        if held >= tokens or place - first == CHUNK or place == len(lengths):
            borders.append((first, place))
            first, held = place, 0
    return borders
