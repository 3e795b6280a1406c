"""`faithful corpus dedup`: the first of every set of equal, or nearly equal, documents."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from faithful.base.progress import Progress, Reporter, silent
from faithful.base.quantities import check_stated
from faithful.store.corpus import SPLITS, Corpus, flat_tokens
from generation.configs.derive import DedupConfig
from generation.derived.derive import Choice, Derivation, Selection, derive
from generation.derived.inputs import document_lengths, open_inputs, sibling
from generation.writing.job import CorpusResult
from generation.writing.near_duplicates import PERMUTATIONS, agree, candidates, document_hashes, repeats, signatures


def dedup(config: DedupConfig, report: Reporter = silent) -> CorpusResult:
    """Keep a document unless an equal one stands before it in its split, or anywhere in `train` if it is of `test`.

    With `near`, a document is also dropped when an earlier one is a near-duplicate of it, whether or not that one was
    dropped itself; `train` comes before `test`. Holds 16 bytes per document, and a temporary file of 512 with `near`.

    Raises:
        FaithfulError: what `derive` refuses.
    """
    check_stated(config)
    inputs = open_inputs((config.folder,))
    out = config.out or sibling(config.folder, f"{inputs[0].corpus.name}-dedup{'-near' * config.near}")
    derivation = Derivation(
        operation="dedup",
        out=out,
        inputs=inputs,
        parameters={"near": config.near},
        choose=lambda report: _choose(inputs[0].corpus, config.near, out, report),
        shard_rows=config.shard_rows,
    )
    return derive(derivation, report)


def follows_near_duplicate(minima: np.ndarray) -> np.ndarray:
    """Which documents have a near-duplicate before them.

    As `near_duplicates.near_duplicates` defines them: candidates share one of 32 bands of 4 minima, and are
    near-duplicates when 80 % of their minima agree; in a bucket each document is compared with the 64 before it.

    Args:
        minima: uint32 [rows, 128] from `near_duplicates.signatures`, in memory or mapped.

    Returns:
        bool [rows].
    """
    follows = np.zeros(len(minima), bool)
    for earlier, later in candidates(minima):
        open_ = ~follows[later]
        earlier, later = earlier[open_], later[open_]
        follows[later[agree(minima, earlier, minima, later)]] = True
    return follows


def _choose(corpus: Corpus, near: bool, out: Path, report: Reporter) -> Choice:
    rows = {split: corpus.manifest.rows(split) for split in SPLITS}
    border = rows["train"]
    hashes = _hashes(corpus, report)
    again = repeats(hashes)
    within_test = repeats(hashes[:, border:])
    close = _near(corpus, ~again, out, report) if near else np.zeros(len(again), bool)
    splits, counts = {}, {}
    for split, part in (("train", slice(0, border)), ("test", slice(border, None))):
        kept = np.flatnonzero(~(again[part] | close[part]))
        splits[split] = Selection(np.zeros(len(kept), np.int16), kept, document_lengths(corpus, split)[kept])
        inside = again[part] if split == "train" else within_test
        counts[split] = {
            "documents": rows[split],
            "kept": len(kept),
            "duplicates": int(inside.sum()),
            "in_train": int((again[part] & ~inside).sum()),
            "near_duplicates": int(close[part].sum()),
        }
    return Choice(splits, counts, " ".join(_sentence(split, figures) for split, figures in counts.items()))


def _hashes(corpus: Corpus, report: Reporter) -> np.ndarray:
    """`document_hashes` of the documents of `train`, then of `test`: uint64 [2, rows]."""
    parts = [np.empty((2, 0), np.uint64)]
    for split in SPLITS:
        done = 0
        for batch in corpus.batches(split, ["token_ids"]):
            tokens, offsets = flat_tokens(batch)
            parts.append(document_hashes(tokens, offsets))
            done += len(tokens)
            report(Progress(f"hashing {split}", done, corpus.tokens(split)))
    return np.concatenate(parts, axis=1)


def _near(corpus: Corpus, leads: np.ndarray, out: Path, report: Reporter) -> np.ndarray:
    """Which of the documents `leads`, bool [rows] over `train`, then `test`, follow a near-duplicate: bool [rows].

    Their signatures go to a file without a name on the disk of `out`, which vanishes with the process.
    """
    home = next(folder for folder in out.resolve().parents if folder.is_dir())
    with tempfile.TemporaryFile(dir=home) as file:
        minima: Any = np.memmap(file, np.uint32, "w+", shape=(int(leads.sum()), PERMUTATIONS))
        first = written = 0
        for split in SPLITS:
            done = 0
            for batch in corpus.batches(split, ["token_ids"]):
                tokens, offsets = flat_tokens(batch)
                lengths, wanted = np.diff(offsets), leads[first : first + batch.num_rows]
                ends = np.concatenate([[0], np.cumsum(lengths[wanted])])
                stop = written + len(ends) - 1
                minima[written:stop] = signatures(tokens[np.repeat(wanted, lengths)], ends)
                first, written, done = first + batch.num_rows, stop, done + len(tokens)
                report(Progress(f"MinHash {split}", done, corpus.tokens(split)))
        follows = np.zeros(len(leads), bool)
        follows[leads] = follows_near_duplicate(minima)
    return follows


def _sentence(split: str, figures: dict[str, int]) -> str:
    what = f"{split}: dropped {figures['duplicates']:,} duplicates"
    if split == "test":
        what += f", {figures['in_train']:,} documents of train"
    return f"{what} and {figures['near_duplicates']:,} near-duplicates of {figures['documents']:,} documents."
