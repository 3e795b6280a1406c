"""`faithful corpus subsample`: a part of a corpus, chosen at random, or so that its lengths are those of another one."""

from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.store.corpus import SPLITS
from generation.configs.derive import SubsampleConfig
from generation.derived.derive import Choice, Derivation, Selection, derive
from generation.derived.inputs import Input, document_lengths, open_inputs, short_count, sibling
from generation.derived.length_match import apportion, assign, lacking, largest_match, next_match, smallest_match
from generation.sampling.seeds import sample_seed, uniforms
from generation.writing.job import CorpusResult
from generation.writing.splits import held_out_budget
from generation.writing.statistics import total_variation

NAMED_DIFFERENCE = 0.1


def subsample(config: SubsampleConfig, report: Reporter = silent) -> CorpusResult:
    """Take a part of a corpus, in the corpus' own order, which is read in one pass and whose prefixes stay comparable.

    Document i has the rank of a hash of (seed, i), whatever the size of the corpus. With `tokens` the part is the
    shortest set of lowest ranks with as many tokens, so a smaller one is a subset of a larger one; `test` is cut to
    `held_out_budget(tokens)` likewise, or kept whole.

    With `like`, lengths (stored tokens per document, `train` and `test` each) are apportioned to the other corpus'
    histogram by largest remainder: to as many documents as there are for it, or to as few as hold `tokens`. A length
    is filled with the documents that have it, and where they run out with the beginnings of the next longer ones: they
    are `cut` (finish_reason `length`, log-probabilities cut too, no end-of-text), as a context cuts them in training.
    Lengths beyond the corpus' longest document count as that. The total variation that is left is recorded.

    Raises:
        FaithfulError: neither `tokens` nor `like`, or fewer tokens than asked for; and what `derive` refuses.
    """
    check_stated(config)
    if config.tokens is None and config.like is None:
        raise FaithfulError("Say how much to take: --tokens N, or --like CORPUS for its lengths.")
    if config.tokens is not None and config.tokens < 1:
        raise FaithfulError("--tokens must be at least 1.")
    inputs = open_inputs((config.folder, *([config.like] if config.like else [])))
    entry, like = inputs[0], inputs[1] if config.like else None
    if config.tokens is not None and entry.corpus.tokens() < config.tokens:
        raise FaithfulError(
            f"{config.folder} holds {entry.corpus.tokens():,} training tokens, fewer than {config.tokens:,}; ask for fewer."
        )
    derivation = Derivation(
        operation="subsample",
        out=config.out or sibling(config.folder, _name(config, entry, like)),
        inputs=inputs[:1],
        parameters={"tokens": config.tokens, "seed": config.seed},
        choose=lambda report: _choose_like(config, entry, like) if like else _choose(config, entry),
        like=like,
        shard_rows=config.shard_rows,
    )
    return derive(derivation, report)


def ranks(seed: int, split: str, documents: int) -> np.ndarray:
    """Ranks of documents 0, 1, 2 …: a hash of (seed, split, index) each, float64 [documents] in [0, 1)."""
    return uniforms(np.array([sample_seed(seed, f"subsample/{split}", 0)]), documents)[0]


def _choose(config: SubsampleConfig, entry: Input) -> Choice:
    assert config.tokens is not None
    splits, counts = {}, {}
    for split, wanted in (("train", config.tokens), ("test", held_out_budget(config.tokens))):
        lengths = document_lengths(entry.corpus, split)
        order = np.argsort(ranks(config.seed, split, len(lengths)), kind="stable")
        stop = int(np.searchsorted(np.cumsum(lengths[order], dtype=np.int64), wanted)) + 1
        kept = np.sort(order[:stop])
        splits[split] = Selection(np.zeros(len(kept), np.int16), kept, lengths[kept])
        counts[split] = {"documents": len(lengths), "kept": len(kept)}
    train = counts["train"]
    return Choice(splits, counts, f"Took {train['kept']:,} of {train['documents']:,} training documents.")


def _choose_like(config: SubsampleConfig, entry: Input, like: Input) -> Choice:
    splits, counts = {}, {}
    for split in SPLITS:
        lengths, shape = document_lengths(entry.corpus, split), document_lengths(like.corpus, split)
        longest = int(min(lengths.max(initial=0), shape.max(initial=0)))
        supply = np.bincount(np.minimum(lengths, longest), minlength=longest + 1)
        histogram = np.bincount(np.minimum(shape, longest), minlength=longest + 1)
        most = largest_match(histogram, supply) if longest else 0
        documents = most
        if config.tokens is not None and longest:
            documents = smallest_match(histogram, config.tokens if split == "train" else held_out_budget(config.tokens))
            if split == "train" and documents > most:
                raise FaithfulError(_too_few(entry, like, histogram, supply, most))
            documents = next_match(histogram, supply, documents, most)
        wanted = apportion(histogram, documents) if documents else np.zeros(longest + 1, np.int64)
        rows, kept = assign(lengths, ranks(config.seed, split, len(lengths)), wanted)
        splits[split] = Selection(np.zeros(len(rows), np.int16), rows, kept)
        limited = longest > 0 and documents == most < len(lengths)
        counts[split] = {
            "documents": len(lengths),
            "kept": len(rows),
            "cut": int((lengths[rows] > kept).sum()),
            "total_variation": total_variation(np.bincount(kept), np.bincount(shape)) if len(rows) else None,
            "limited_by_length": _bottleneck(histogram, supply, most) if limited else None,
        }
    return Choice(splits, counts, _said(entry, like, counts))


def _bottleneck(histogram: np.ndarray, supply: np.ndarray, most: int) -> int:
    """The length at which one document more would be too many."""
    return int(lacking(apportion(histogram, most + 1), supply)[0])


def _too_few(entry: Input, like: Input, histogram: np.ndarray, supply: np.ndarray, most: int) -> str:
    length = _bottleneck(histogram, supply, most)
    tokens = int(apportion(histogram, most) @ np.arange(len(histogram)))
    return (
        f"With the lengths of {like.corpus.folder}, {entry.corpus.folder} gives {tokens:,} training tokens, since only"
        f" {int(supply[length:].sum()):,} of its documents have {length} tokens or more; ask for fewer --tokens."
    )


def _said(entry: Input, like: Input, counts: dict[str, Any]) -> str:
    train = counts["train"]
    distance = train["total_variation"] or 0.0
    note = (
        f"Took {train['kept']:,} of {train['documents']:,} training documents, {train['cut']:,} of them cut; their lengths"
        f" differ from those of {like.name} by a total variation of {distance:.4f}."
    )
    if distance > NAMED_DIFFERENCE:
        note += f" That is more than {NAMED_DIFFERENCE}: studies will name it beside their verdicts."
    if train["limited_by_length"] is not None:
        note += f" {entry.name} has no more documents of {train['limited_by_length']} tokens or longer to give."
    return note


def _name(config: SubsampleConfig, entry: Input, like: Input | None) -> str:
    parts = [entry.corpus.name, *(["like", like.corpus.name] if like else ["sub"])]
    if config.tokens:
        parts.append(short_count(config.tokens))
    if config.seed:
        parts.append(f"s{config.seed}")
    return "-".join(parts)
