"""`faithful corpus mix`: one corpus from several, interleaved by their shares of the tokens."""

from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.store.corpus import SPLITS
from generation.configs.derive import MixConfig
from generation.derived.derive import Choice, Derivation, Selection, derive
from generation.derived.inputs import Input, document_lengths, open_inputs, short_count, sibling
from generation.writing.job import CorpusResult
from generation.writing.splits import held_out_budget


def shares_of(config: MixConfig) -> np.ndarray:
    """Share of the tokens wanted from each corpus, float64 [corpora] of sum 1.

    Raises:
        FaithfulError: fewer than two corpora, bad weights or no tokens.
    """
    weights = config.weights or (1.0,) * len(config.folders)
    if len(config.folders) < 2:
        raise FaithfulError("A mix needs two corpora or more; name them.")
    if len(weights) != len(config.folders):
        raise FaithfulError(f"There are {len(config.folders)} corpora and {len(weights)} weights; give one for each.")
    if not all(0 < weight < float("inf") for weight in weights):
        raise FaithfulError("Every weight must be a number above 0; leave out what should have none.")
    if config.tokens is not None and config.tokens < 1:
        raise FaithfulError("--tokens must be at least 1.")
    return np.array(weights) / sum(weights)


def mix(config: MixConfig, report: Reporter = silent) -> CorpusResult:
    """Interleave corpora so that each has its share of the tokens at every point of the stream; no document comes twice.

    `test` is mixed from the inputs' `test` by the same weights: with `tokens` up to `held_out_budget(tokens)`, else as far
    as the scarcest allows.

    Raises:
        FaithfulError: see `shares_of`; too few tokens for what is asked; and what `derive` refuses.
    """
    shares = shares_of(config)
    check_stated(config)
    inputs = open_inputs(config.folders)
    derivation = Derivation(
        operation="mix",
        out=config.out or sibling(config.folders[0], _name(config, inputs)),
        inputs=inputs,
        parameters={
            "weights": [float(weight) for weight in config.weights or (1.0,) * len(inputs)],
            "tokens": config.tokens,
        },
        choose=lambda report: _choose(inputs, shares, config.tokens),
        shard_rows=config.shard_rows,
    )
    return derive(derivation, report)


def interleave(lengths: list[np.ndarray], shares: np.ndarray) -> Selection:
    """The order in which documents are taken: always from the corpus with the fewest tokens so far for its share.

    That is the order of (tokens of the corpus before the document) / share; it ends where it is the turn of a corpus that
    has no document left. At every point, what corpus i has given lies within k · longest document of shares[i] · all, for k
    corpora.

    Args:
        lengths: int32 [rows] per corpus, stored tokens of its documents in order.
        shares: float64 [corpora], positive, of sum 1.
    """
    ends = [np.cumsum(rows, dtype=np.int64) for rows in lengths]
    limit = min((int(end[-1]) if len(end) else 0) / share for end, share in zip(ends, shares, strict=True))
    turns = [(end - rows) / share for end, rows, share in zip(ends, lengths, shares, strict=True)]
    counts = [int(np.searchsorted(turn, limit)) for turn in turns]
    order = np.argsort(np.concatenate([turn[:count] for turn, count in zip(turns, counts, strict=True)]), kind="stable")
    corpora = np.repeat(np.arange(len(lengths), dtype=np.int16), counts)
    rows = np.concatenate([np.arange(count) for count in counts])
    kept = np.concatenate([of_corpus[:count] for of_corpus, count in zip(lengths, counts, strict=True)])
    return Selection(corpora[order], rows[order], kept[order])


def _choose(inputs: tuple[Input, ...], shares: np.ndarray, tokens: int | None) -> Choice:
    splits: dict[str, Selection] = {}
    counts: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        chosen = interleave([document_lengths(entry.corpus, split) for entry in inputs], shares)
        if tokens is not None and split == "train" and chosen.tokens < tokens:
            given = [entry.corpus.tokens() / share for entry, share in zip(inputs, shares, strict=True)]
            raise FaithfulError(
                f"At these weights the corpora give {chosen.tokens:,} training tokens, since"
                f" {inputs[int(np.argmin(given))].name} runs out; ask for fewer --tokens or change --weights."
            )
        if tokens is not None:
            chosen = chosen.shortest(tokens if split == "train" else held_out_budget(tokens))
        splits[split] = chosen
        sums = np.bincount(chosen.inputs, weights=chosen.lengths, minlength=len(inputs))
        counts[split] = {
            entry.name: {
                "documents": int((chosen.inputs == place).sum()),
                "tokens": int(sums[place]),
                "share": float(sums[place] / max(sums.sum(), 1)),
            }
            for place, entry in enumerate(inputs)
        }
    said = ", ".join(f"{figures['share']:.2%} {name}" for name, figures in counts["train"].items())
    note = f"Shares of the training tokens: {said}."
    without = [entry.name for entry in inputs if not entry.corpus.tokens("test")]
    if without:
        note += f" Nothing is held out, since {' and '.join(without)} hold{'s' * (len(without) == 1)} nothing out."
    return Choice(splits, counts, note)


def _name(config: MixConfig, inputs: tuple[Input, ...]) -> str:
    """`mix-A-B`, with the weights and the tokens where they are stated."""
    parts = ["mix", *(entry.corpus.name for entry in inputs)]
    if config.weights and len(set(config.weights)) > 1:
        parts += [f"{weight:g}" for weight in config.weights]
    if config.tokens:
        parts.append(short_count(config.tokens))
    return "-".join(parts)
