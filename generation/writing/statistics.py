"""What a corpus looks like: the figures of a corpus that need no model.

Each shard carries mergeable sums (`shard_statistics`). `corpus_statistics` (all of a split) and `budget_statistics` (the
first N tokens of one) merge those of whole shards, and take the rest from one pass, which holds a batch, the sketches, the
documents that near-duplicates are looked for among, and 16 bytes per document; each figure has one definition in both.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pyarrow as pa

from faithful.base.errors import FaithfulError
from faithful.base.progress import Progress, Reporter, silent
from faithful.store.corpus import Corpus, Document, Shard, flat_tokens, from_table
from faithful.store.manifest_parts import Statistics, Sums
from generation.writing.near_duplicates import count_distinct, document_hashes, near_duplicates
from generation.writing.sketches import Diversity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from faithful.models.spec import ModelSpec

LOOP_TOKENS, LOOP_PERIOD = 64, 16
ZSTD_LEVEL = 3
NEAR_TOKENS = 1_000_000

_COUNTS: tuple[Literal["rows", "ended", "empty", "looping", "round_trip", "tokens", "unmapped"], ...] = (
    "rows", "ended", "empty", "looping", "round_trip", "tokens", "unmapped",
)  # fmt: skip


def shard_statistics(
    documents: list[Document],
    texts: list[str],
    tokenizer: "PreTrainedTokenizerBase",
    eos_ids: Sequence[int],
    mapped: int,
    holes: Sequence[tuple[int, int]] = (),
) -> Sums:
    """Mergeable sums over the rows of one shard, plain JSON.

    Args:
        documents: the rows.
        texts: their decoded ids, a closing end-of-text left out (`without_closing`).
        tokenizer: gives ids back from the texts.
        eos_ids: ids that end a document.
        mapped: ids from here on have no string.
        holes: nor have these runs [first, end) of ids below it.

    Returns:
        Counts of documents (`rows`, `ended`, `empty`: nothing but an end-of-text, `looping`, `round_trip`) and of
        `tokens`, `unmapped` among them; `logprob_p_sum` in nats, None unless every document has log-probabilities;
        `lengths`, the number of documents by length in stored tokens.
    """
    ids = [document.token_ids for document in documents]
    missing = frozenset(chain.from_iterable(range(first, end) for first, end in holes))
    bodies = [without_closing(row, eos_ids) for row in ids]
    lengths = Counter(len(row) for row in ids)
    return {
        "rows": len(ids),
        "tokens": sum(len(row) for row in ids),
        "ended": sum(document.finish_reason == "stop" for document in documents),
        "empty": sum(not body for body in bodies),
        "unmapped": sum(token >= mapped or token in missing for token in chain.from_iterable(ids)),
        "looping": _count_loops(ids),
        "round_trip": _count_round_trips(bodies, texts, tokenizer),
        "logprob_p_sum": _sum_logprobs(documents),
        "lengths": {str(length): lengths[length] for length in sorted(lengths)},
    }


def merge(parts: Iterable[Sums]) -> Sums:
    """The sums of several shards' `shard_statistics`, of the same form; those of no shards are zeros."""
    parts = list(parts)
    known = [logprob for part in parts if (logprob := part["logprob_p_sum"]) is not None]
    lengths: Counter[int] = Counter()
    for part in parts:
        lengths.update({int(length): count for length, count in part["lengths"].items()})
    counts = cast(Sums, {name: sum(part[name] for part in parts) for name in _COUNTS})
    return counts | {
        "logprob_p_sum": math.fsum(known) if len(known) == len(parts) else None,
        "lengths": {str(length): lengths[length] for length in sorted(lengths)},
    }


def corpus_statistics(
    corpus: Corpus,
    split: str = "train",
    budget_limit: int = NEAR_TOKENS,
    report: Reporter = silent,
    *,
    vocab_size: int,
) -> Statistics:
    """The figures of a split that need no model, JSON-ready; docs/metrics.md, "Corpus", defines them.

    Args:
        corpus: an open corpus whose shards carry `shard_statistics`.
        split: `train` or `test`.
        budget_limit: tokens that near-duplicates and curves look at: the curves at exactly that many at most, the
            near-duplicates at the shortest prefix of whole documents with as many.
        report: told of progress, in tokens.
        vocab_size: number of ids of the model.

    Returns:
        `documents`, `tokens`, `eos_rate`, `length_mean`, `length_median`, `length_p95`, `unmapped_rate`,
        `round_trip_rate`, `repetition_rate`, `compression_ratio` (None without text), `ce` in nats per token and
        `perplexity` (None without stored log-probabilities), `duplicate_rate`, `near_duplicate_rate`, `curves` (see
        `Diversity.curves`) and `computed_on`: the tokens seen by what `budget_limit` limits.

    Raises:
        FaithfulError: the split is empty, or an id lies outside the vocabulary.
    """
    if not corpus.tokens(split):
        raise FaithfulError(f"{corpus.folder} has no {split} tokens to describe yet; generate or add some first.")
    sums = merge(shard.statistics for shard in corpus.manifest.shards[split])
    curves_at = _budgets(min(budget_limit, sums["tokens"]))
    passed = _passed(corpus, split, sums, curves_at, budget_limit, vocab_size, report)
    passed["computed_on"]["curves"] = min(budget_limit, sums["tokens"])
    return _rates(sums) | passed


def budget_statistics(
    corpus: Corpus,
    tokenizer: "PreTrainedTokenizerBase",
    spec: "ModelSpec",
    budget: int,
    near_limit: int = NEAR_TOKENS,
    report: Reporter = silent,
) -> Statistics:
    """`corpus_statistics` of the first documents of the training split with `budget` tokens, for a comparison of corpora.

    The sums of shards that lie in them whole are merged, those of the shard in which they end are taken anew. The curves
    stop at exactly `budget` tokens; the rest is of the shortest prefix of whole documents with as many. Holds one shard,
    the sketches of the curves (see `Diversity`), 16 bytes per document, and the documents of `near_limit`.

    Args:
        corpus: an open corpus with at least so many tokens, whose shards carry `shard_statistics`.
        tokenizer, spec: of the model that made the ids.
        budget: tokens.
        near_limit: tokens that near-duplicates look at, at most.
        report: told of progress, in tokens.

    Returns:
        As `corpus_statistics`, and `lengths`: the number of documents by length in stored tokens.
    """
    whole, last, rows = _prefix(corpus, budget)
    parts = [shard.statistics for shard in whole]
    if last:
        table = pa.Table.from_batches(list(_first(_with_shards(corpus, [last]), rows)))
        documents, texts = from_table(table), [text or "" for text in table["text"].to_pylist()]
        parts.append(shard_statistics(documents, texts, tokenizer, spec.eos_ids, spec.mapped, spec.holes))
    sums = merge(parts)
    cut = min(budget, sums["tokens"])
    passed = _passed(corpus, "train", sums, _budgets(cut, [cut]), min(budget, near_limit), spec.vocab_size, report)
    passed["computed_on"]["curves"] = cut
    return _rates(sums) | passed | {"lengths": sums["lengths"]}


def _prefix(corpus: Corpus, budget: int) -> tuple[list[Shard], Shard | None, int]:
    """The shortest prefix of documents with `budget` tokens: whole shards, the one it ends in, and how many rows of that."""
    shards = corpus.manifest.shards["train"]
    for place, shard in enumerate(shards):
        if shard.tokens >= budget:
            alone = _with_shards(corpus, [shard])
            lengths = [batch.column("n_tokens").to_numpy() for batch in alone.batches("train", ["n_tokens"])]
            rows = int(np.searchsorted(np.cumsum(np.concatenate(lengths)), budget)) + 1
            return (shards[: place + 1], None, 0) if rows == shard.rows else (shards[:place], shard, rows)
        budget -= shard.tokens
    return shards, None, 0


def _with_shards(corpus: Corpus, shards: list[Shard]) -> Corpus:
    """The corpus as if its training split were these shards."""
    view = copy.copy(corpus)
    view.manifest = replace(corpus.manifest, shards=corpus.manifest.shards | {"train": shards})
    return view


def _first(
    corpus: Corpus, rows: int, split: str = "train", columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The first rows of a split, in batches."""
    for batch in corpus.batches(split, columns):
        yield batch.slice(0, rows)
        rows -= batch.num_rows
        if rows <= 0:
            return


def _passed(
    corpus: Corpus,
    split: str,
    sums: Sums,
    curves_at: list[int],
    near_tokens: int,
    vocab_size: int,
    report: Reporter,
) -> Statistics:
    """The figures that take a pass over a split's first documents, those whose sums are `sums`."""
    rows, total, done = sums["rows"], sums["tokens"], 0
    duplicates, head, packed = Duplicates(rows), Head(near_tokens), _Compression()
    diversity = Diversity(vocab_size, curves_at)
    for batch in _first(corpus, rows, split, ["token_ids", "text"]):
        tokens, offsets = flat_tokens(batch)
        _refuse_outside(tokens, vocab_size)
        duplicates.add(tokens, offsets)
        head.add(tokens, offsets)
        diversity.add(tokens, offsets)
        packed.add(batch.column("text").to_pylist())
        done += len(tokens)
        report(Progress(f"statistics {split}", done, total))
    tokens, offsets = head.joined()
    return {
        "compression_ratio": packed.ratio(),
        "duplicate_rate": duplicates.rate(),
        "near_duplicate_rate": float(near_duplicates(tokens, offsets).mean()),
        "curves": diversity.curves(),
        "computed_on": {"near_duplicate_rate": len(tokens)},
    }


def without_closing(token_ids: list[int], eos_ids: Sequence[int]) -> list[int]:
    """A document's ids without the end-of-text that closes it, if one does."""
    return token_ids[:-1] if token_ids and token_ids[-1] in eos_ids else token_ids


def _refuse_outside(tokens: np.ndarray, vocab_size: int) -> None:
    if (largest := int(tokens.max(initial=0))) >= vocab_size:
        raise FaithfulError(
            f"The corpus has id {largest}, but the vocabulary ends at {vocab_size - 1}; give the model whose tokenizer made"
            " it."
        )


class Duplicates:
    """Counts documents that repeat another, given in batches; holds 16 bytes for each of the `rows` there will be."""

    def __init__(self, rows: int) -> None:
        self.hashes = np.empty((2, rows), np.uint64)
        self.rows = 0

    def add(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        """Take the next documents, joined: int64 [tokens] and int64 [rows + 1]."""
        stop = self.rows + len(offsets) - 1
        self.hashes[:, self.rows : stop] = document_hashes(tokens, offsets)
        self.rows = stop

    def rate(self) -> float:
        """Share of documents that repeat another: 1 − distinct / documents."""
        return 1 - count_distinct(self.hashes) / self.rows


class Head:
    """Collects the shortest prefix of whole documents with at least `limit` tokens."""

    def __init__(self, limit: int) -> None:
        self.missing = limit
        self.tokens = [np.empty(0, np.int64)]
        self.lengths = [np.empty(0, np.int64)]

    def add(self, tokens: np.ndarray, offsets: np.ndarray) -> None:
        """Take the next documents, joined: int64 [tokens] and int64 [rows + 1]."""
        if self.missing <= 0:
            return
        rows = min(int(np.searchsorted(offsets, self.missing)), len(offsets) - 1)
        self.tokens.append(tokens[: offsets[rows]])
        self.lengths.append(np.diff(offsets[: rows + 1]))
        self.missing -= int(offsets[rows])

    def joined(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [tokens] and offsets, int64 [rows + 1]."""
        return np.concatenate(self.tokens), np.concatenate([[0], np.cumsum(np.concatenate(self.lengths))])


class _Compression:
    """zstd level 3 over texts joined by newlines, as one frame however they come."""

    def __init__(self) -> None:
        import zstandard

        self.stream = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
        self.raw = self.packed = 0
        self.has_text = False

    def add(self, texts: list[str | None]) -> None:
        joined = "\n".join(text or "" for text in texts)
        content = ("\n" * bool(self.raw) + joined).encode()
        self.has_text |= any(texts)
        self.raw += len(content)
        self.packed += len(self.stream.compress(content))

    def ratio(self) -> float | None:
        """Compressed bytes per byte; None without text. Ends the frame."""
        self.packed += len(self.stream.flush())
        return self.packed / self.raw if self.has_text else None


def _rates(sums: Sums) -> Statistics:
    """Shares and means of merged sums."""
    rows, tokens, logprob = sums["rows"], sums["tokens"], sums["logprob_p_sum"]
    ce = None if logprob is None else -logprob / tokens
    return {
        "documents": rows,
        "tokens": tokens,
        "eos_rate": sums["ended"] / rows,
        "length_mean": tokens / rows,
        "length_median": _quantile(sums["lengths"], 0.5),
        "length_p95": _quantile(sums["lengths"], 0.95),
        "unmapped_rate": sums["unmapped"] / tokens,
        "round_trip_rate": sums["round_trip"] / rows,
        "repetition_rate": sums["looping"] / rows,
        "ce": ce,
        "perplexity": None if ce is None else math.exp(ce),
    }


def _quantile(lengths: dict[str, int], share: float) -> float:
    """Quantile of a histogram, interpolated linearly between documents as `np.quantile` does."""
    values = sorted(int(length) for length in lengths)
    ranks = np.cumsum([lengths[str(value)] for value in values])
    place = share * (int(ranks[-1]) - 1)
    low, high = (values[int(np.searchsorted(ranks, rank, side="right"))] for rank in (int(place), math.ceil(place)))
    return low + (high - low) * (place - int(place))


def _budgets(tokens: int, ends_at: Sequence[int] = ()) -> list[int]:
    """1k, 2k, 5k, 10k … up to `tokens`, and further ones."""
    steps = [step * 10**power for power in range(3, len(str(tokens))) for step in (1, 2, 5)]
    return sorted({*(budget for budget in steps if budget <= tokens), *ends_at})


def _count_loops(ids: list[list[int]]) -> int:
    """Documents whose last 64 stored tokens repeat with a period ≤ 16."""
    tails = np.array([row[-LOOP_TOKENS:] for row in ids if len(row) >= LOOP_TOKENS], np.int64).reshape(-1, LOOP_TOKENS)
    loops = [(tails[:, period:] == tails[:, :-period]).all(axis=1) for period in range(1, LOOP_PERIOD + 1)]
    return int(np.any(loops, axis=0).sum())


def _count_round_trips(bodies: list[list[int]], texts: list[str], tokenizer: "PreTrainedTokenizerBase") -> int:
    """Documents whose text gives the same ids when tokenised again."""
    if not texts:
        return 0
    again = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return sum(list(new) == list(old) for new, old in zip(again, bodies, strict=True))


def _sum_logprobs(documents: list[Document]) -> float | None:
    """Σ log p in nats, of the values as stored (float32), exactly rounded to float64; None where any is missing."""
    rows = [document.logprob_p for document in documents]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        return None
    return math.fsum(np.fromiter(chain.from_iterable(known), np.float32).tolist())


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the sum of the absolute differences of two histograms' shares, between 0 and 1."""
    size = max(len(a), len(b))
    shares = [np.pad(part / max(part.sum(), 1), (0, size - len(part))) for part in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)
