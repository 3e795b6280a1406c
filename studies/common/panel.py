"""The text that SAEs are studied on: the panel of held-out text, random tokens, and the controls between them."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Corpus
from faithful.store.token_rows import TokenRows, plan_tokens, special_ids
from studies.common.forecast import panel_tokens
from studies.common.inputs import StudyInput


@dataclass(frozen=True)
class Panel:
    """A fixed mix of the held-out parts of corpora, about equal tokens each.

    Attributes:
        parts: contexts of each corpus, int64 [≤ context], BOS first.
        ordinary: bool [vocab], False for special ids.
    """

    parts: dict[str, list[np.ndarray]]
    ordinary: np.ndarray

    @property
    def rows(self) -> list[np.ndarray]:
        """Contexts of all parts, part after part."""
        return [row for rows in self.parts.values() for row in rows]

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of each part that are no special tokens."""
        return {name: sum(int(self.ordinary[row].sum()) for row in rows) for name, rows in self.parts.items()}

    @property
    def sha256(self) -> str:
        """Hash of the text, of the parts' names and of where each begins: of what figures per part depend on."""
        digest = hashlib.sha256()
        for name, rows in self.parts.items():
            digest.update(json.dumps([name, [len(row) for row in rows]]).encode())
            for row in rows:
                digest.update(row.tobytes())
        return digest.hexdigest()

    def positions(self, names: Collection[str], context: int) -> dict[str, np.ndarray]:
        """How many tokens of each part among `names` stand at each position after BOS, int64 [context − 1]."""
        at = np.arange(1, context)
        return {
            name: (np.array([len(row) for row in rows])[:, None] > at).sum(0)
            for name, rows in self.parts.items()
            if name in names
        }

    def part_of_rows(self) -> np.ndarray:
        """For each of `rows` the place of its part, int64."""
        return np.repeat(np.arange(len(self.parts)), [len(rows) for rows in self.parts.values()])


def load_panel(found: StudyInput, tokens: int | None = None) -> Panel:
    """The first held-out documents of every corpus of a study, or with a `panel_seed` as many drawn among all.

    Args:
        found: the study's model and corpora.
        tokens: stored tokens in all; None is 30k on a CPU and 200k on a GPU. Each part gets an equal share, at most what
            the smallest holds.

    Raises:
        FaithfulError: no corpus, one without held-out text or with special tokens alone, one of another tokenizer.
    """
    if not found.corpora:
        raise FaithfulError("There is no held-out text to study the SAEs on; name corpora with --corpus.")
    parts = _held_out(found, tokens or panel_tokens(found.device, found.context))
    panel = Panel(parts, ordinary_ids(found.spec))
    if empty := [name for name, count in panel.tokens.items() if not count]:
        raise FaithfulError(f"The held-out text of {empty[0]} is special tokens alone so far; give more --tokens.")
    return panel


def _held_out(found: StudyInput, tokens: int) -> dict[str, list[np.ndarray]]:
    """Contexts of held-out documents of each corpus, about `tokens` in all and equally many of each."""
    opened = {name: Corpus(folder) for name, folder in found.corpora.items()}
    usable = [plan_tokens(corpus, found.context, found.layout, "test", found.spec).usable for corpus in opened.values()]
    share = min(tokens // len(opened), *usable)
    if share < 1:
        raise FaithfulError(f"{tokens:,} tokens are too few for {len(opened)} corpora, or one has no held-out text.")
    parts = {}
    for name, corpus in opened.items():
        seed = found.panel_seed
        most = share if seed is None else None
        rows = TokenRows(corpus, found.spec, found.context, found.layout, "test", most).ordered(seed)
        enough = len(rows.stored) if seed is None else int(np.searchsorted(rows.stored.cumsum(), share)) + 1
        parts[name] = rows.rows(0, min(enough, len(rows.stored)))
    return parts


def ordinary_ids(spec: ModelSpec) -> np.ndarray:
    """Bool [vocab], False for special ids."""
    ordinary = np.ones(spec.vocab_size, dtype=bool)
    ordinary[sorted(special_ids(spec))] = False
    return ordinary


def noise_rows(spec: ModelSpec, count: int, context: int, seed: int) -> list[np.ndarray]:
    """Contexts of uniform random ids: the vocabulary without special tokens and ids without a string, BOS first."""
    strings = spec.string_ids()
    ids = strings[ordinary_ids(spec)[strings]]
    drawn = np.random.default_rng([seed, 1]).choice(ids, (count, context - 1))
    return list(np.concatenate([np.full((count, 1), spec.bos_id), drawn], axis=1).astype(np.int64))


def unigram_rows(spec: ModelSpec, rows: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Contexts as long as the given ones, each token drawn from their unigram distribution (special ones left out)."""
    ordinary = ordinary_ids(spec)
    counts = np.bincount(np.concatenate([row[1:] for row in rows]), minlength=len(ordinary)) * ordinary
    ids = np.flatnonzero(counts)
    rng = np.random.default_rng([seed, 2])
    drawn = rng.choice(ids, sum(len(row) - 1 for row in rows), p=counts[ids] / counts.sum())
    pieces = np.split(drawn, np.cumsum([len(row) - 1 for row in rows])[:-1])
    return [np.concatenate([row[:1], piece]) for row, piece in zip(rows, pieces, strict=True)]


def shuffled_documents(rows: Sequence[np.ndarray], ordinary: np.ndarray, seed: int) -> list[np.ndarray]:
    """Contexts with each document's ordinary tokens in random order, special ones where they were.

    Documents that share a context (layout `packed`) are told apart by the special tokens between them; those of a model
    without an end-of-text are not.

    Args:
        rows: int64 [≤ context], a special token first.
        ordinary: bool [vocab], False for special ids.
        seed: of the order.
    """
    rng = np.random.default_rng([seed, 3])
    shuffled = []
    for row in rows:
        new = row.copy()
        for first, end in pairwise([*np.flatnonzero(~ordinary[row]), len(row)]):
            new[first + 1 : end] = rng.permutation(row[first + 1 : end])
        shuffled.append(new)
    return shuffled
