"""How much of a probe task's text stands in a corpus that SAEs were trained on: whole texts, and runs of 13 tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faithful.store.corpus import Corpus, flat_tokens
from generation.writing.grams import KnownGrams, grams_of
from studies.probes.tasks.examples import text_hash


@dataclass(frozen=True)
class Overlap:
    """Examples that a corpus' training text holds.

    Attributes:
        texts: whose whole text is a document of it, white space aside.
        grams: of which it holds a run of 13 tokens in a row; none of those that have fewer.
    """

    texts: int
    grams: int


def overlaps(corpus: Corpus, sides: Sequence[tuple[Sequence[str], Sequence[np.ndarray]]]) -> list[Overlap]:
    """Overlap of the split `train` with several sets of examples, in one reading; memory does not grow with the corpus.

    Args:
        corpus: tokenised as the examples are.
        sides: hashes of the texts (see `text_hash`) and tokens without BOS, int64 [≤ context] each, of every set.
    """
    tokens = [ids for _, rows in sides for ids in rows]
    grams, owners = grams_of(tokens)
    known = KnownGrams(grams)
    wanted, met = {origin for origins, _ in sides for origin in origins}, set()
    for batch in corpus.batches("train", ["token_ids", "text"]):
        known.meet(*flat_tokens(batch))
        met |= wanted & {text_hash(text) for text in batch.column("text").to_pylist() if text}
    held = np.zeros(len(tokens), bool)
    held[owners[known.met()]] = True
    result, first = [], 0
    for origins, rows in sides:
        last = first + len(rows)
        result.append(Overlap(sum(one in met for one in origins), int(held[first:last].sum())))
        first = last
    return result
