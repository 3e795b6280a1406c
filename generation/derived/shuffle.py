"""`faithful corpus shuffle`: the tokens of each document in random order: same unigrams, same lengths, no syntax."""

from dataclasses import replace

import numpy as np

from faithful.base.progress import Reporter, silent
from faithful.base.quantities import check_stated
from faithful.store.corpus import SPLITS, Document
from generation.configs.derive import ShuffleConfig
from generation.derived.derive import Choice, Derivation, Selection, derive
from generation.derived.inputs import Input, document_lengths, open_inputs, sibling
from generation.sampling.seeds import sample_seed, uniforms
from generation.writing.job import CorpusResult
from generation.writing.statistics import without_closing

VERSION = 2
"""1 took its order from the sampler's own seeds, and sorted a document by the very uniforms that drew its tokens."""


def shuffle(config: ShuffleConfig, report: Reporter = silent) -> CorpusResult:
    """Permute the tokens within each document; an end-of-text that closes it stays last. No log-probabilities are kept.

    Raises:
        FaithfulError: what `derive` refuses.
    """
    check_stated(config)
    inputs = open_inputs((config.folder,))
    eos_ids = inputs[0].corpus.manifest.identity["model"]["eos_ids"]
    suffix = "shuffled" + (f"-s{config.seed}" if config.seed else "")
    derivation = Derivation(
        operation="shuffle",
        out=config.out or sibling(config.folder, f"{inputs[0].corpus.name}-{suffix}"),
        inputs=inputs,
        parameters={"seed": config.seed, "version": VERSION},
        choose=lambda report: _choose(inputs[0]),
        change=lambda split, document: shuffled(document, eos_ids, order_seed(config.seed, split, document.index)),
        shard_rows=config.shard_rows,
    )
    return derive(derivation, report)


def order_seed(seed: int, split: str, index: int) -> int:
    """Seed of the order of a document's tokens."""
    return sample_seed(seed, f"shuffle/{split}", index)


def shuffled(document: Document, eos_ids: list[int], seed: int) -> Document:
    """The document with its tokens in the order of the seed's uniforms, a closing end-of-text last."""
    body = without_closing(document.token_ids, eos_ids)
    order = np.argsort(uniforms(np.array([seed]), len(body))[0], kind="stable")
    ids = np.array(body, np.int64)[order].tolist() + document.token_ids[len(body) :]
    return replace(document, token_ids=ids, logprob_p=None, logprob_q=None)


def _choose(entry: Input) -> Choice:
    splits, counts = {}, {}
    for split in SPLITS:
        lengths = document_lengths(entry.corpus, split)
        rows = np.arange(len(lengths))
        splits[split] = Selection(np.zeros(len(rows), np.int16), rows, lengths)
        counts[split] = {"documents": len(rows)}
    return Choice(splits, counts, "The tokens of each document were shuffled.")
