"""Which documents of a corpus are scored, and what of the others their scoring needs to know."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter, silent
from faithful.store.corpus import Corpus, flat_tokens
from generation.sampling.seeds import uniforms
from generation.scoring.copies import Documents, predictions_within
from generation.writing.near_duplicates import document_hashes, repeats

JOINED = 4096


@dataclass(frozen=True)
class ScoredPart:
    """The documents that are scored, in index order.

    Attributes:
        documents: token ids of each.
        indices: int64, their index in the split.
        log_p: stored log p of each, None where nothing is stored.
        chosen: how they were chosen, in words.
        repeated: bool, whether an exact copy stands earlier in the whole split; None looks for copies among `documents`.
        population: documents of the whole split; None is their own number.
        predictions: what `copy` bets on, see `predictions_within`; None looks for occurrences among `documents`.
    """

    documents: list[np.ndarray]
    indices: np.ndarray
    log_p: list[np.ndarray] | None
    chosen: str
    repeated: np.ndarray | None = None
    population: int | None = None
    predictions: np.ndarray | None = None


def choose_part(corpus: Corpus, split: str, limit: int | None, report: Reporter = silent) -> ScoredPart:
    """All documents, or about `limit` tokens of whole documents chosen by a hash of their index.

    Holds those, 17 bytes for every document of the split and what `predictions_within` takes: a copy counts whether or not
    the first one is scored.

    Raises:
        FaithfulError: no document is chosen, or a stored log-probability is not finite.
    """
    total = corpus.tokens(split)
    share = 1.0 if limit is None or limit >= total else limit / total
    documents: list[np.ndarray] = []
    indices: list[int] = []
    log_p: list[np.ndarray] = []
    hashes: list[np.ndarray] = []
    scored = np.zeros(corpus.manifest.rows(split), dtype=bool)
    row = 0
    for batch in corpus.batches(split, ["index", "token_ids", "logprob_p"]):
        tokens, offsets = flat_tokens(batch)
        hashes.append(document_hashes(tokens, offsets))
        index = batch.column("index").to_numpy()
        taken = uniforms(index, 1)[:, 0] < share
        stored = batch.column("logprob_p")
        for place in np.flatnonzero(taken & (np.diff(offsets) > 0)):
            documents.append(tokens[offsets[place] : offsets[place + 1]].copy())  # a view would hold the whole batch
            indices.append(int(index[place]))
            scored[row + place] = True
            if stored[place].is_valid:
                log_p.append(stored[place].values.to_numpy(zero_copy_only=False).copy())
        row += batch.num_rows
    if not documents:
        raise FaithfulError(f"No document of {corpus.folder} falls into the part scored; score more --tokens.")
    if not all(np.isfinite(values).all() for values in log_p):
        raise FaithfulError(
            f"{corpus.folder} stores log-probabilities that are no numbers, which say nothing of how it was sampled; make the"
            " corpus again."
        )
    chosen = "every document" if share == 1 else f"{share:.3g} of the documents, chosen by a hash of their index"
    complete = len(log_p) == len(documents)
    repeated = repeats(np.concatenate(hashes, axis=1))[np.array(indices)]
    return ScoredPart(
        documents,
        np.array(indices),
        log_p if complete else None,
        chosen,
        repeated,
        corpus.manifest.rows(split),
        predictions_within(lambda: _read(corpus, split, report), scored, lambda: joined(documents)),
    )


def joined(documents: list[np.ndarray]) -> Iterator[Documents]:
    """Documents in batches, joined: int64 [tokens] and offsets, int64 [rows + 1]."""
    for first in range(0, len(documents), JOINED):
        some = documents[first : first + JOINED]
        yield np.concatenate(some), np.concatenate([[0], np.cumsum([len(document) for document in some])])


def _read(corpus: Corpus, split: str, report: Reporter) -> Iterator[Documents]:
    """A split in batches."""
    done, total = 0, corpus.tokens(split)
    for batch in corpus.batches(split, ["token_ids"]):
        tokens, offsets = flat_tokens(batch)
        yield tokens, offsets
        done += len(tokens)
        report(Progress("looking for copies", done, total))
