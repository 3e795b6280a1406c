"""The tokenizer of a causal LM."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError, one_line
from faithful.models.tokenizer_file import as_written

LONGEST = 4
"""Tokens of one character, at most: its bytes."""


def load_tokenizer(source: str, revision: str | None) -> Any:
    """The tokenizer of a model, which gives the ids that its tokenizer.json gives.

    Mistral's tekken.json is read by transformers too, never by `mistral_common`: what is installed must not decide which
    class reads a model's files, and vLLM brings that library along.

    Raises:
        FaithfulError: it cannot be loaded, or does not do what its tokenizer.json says.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False, mistral_format=False
        )
    except Exception as error:
        raise FaithfulError(f"Cannot load the tokenizer of {source}: {one_line(error)}.") from error
    return as_written(tokenizer, source, revision)


def strings_of(tokenizer: Any, vocab_size: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Which ids of a model have strings; `len(tokenizer)` does not say, since ids may be left out or lie beyond the model.

    Returns:
        The largest id below `vocab_size` with a string, and one; and the runs [first, end) of ids below it without one.
    """
    ids = np.unique(np.fromiter(tokenizer.get_vocab().values(), np.int64))
    ids = ids[(ids >= 0) & (ids < vocab_size)]
    before = np.concatenate([[-1], ids[:-1]])
    gaps = np.flatnonzero(ids - before > 1)
    runs = zip((before[gaps] + 1).tolist(), ids[gaps].tolist(), strict=True)
    return int(ids[-1]) + 1 if len(ids) else 0, tuple(runs)


def string_of(tokenizer: Any, token_id: int) -> str:
    """What a token reads as by itself, with the space that begins it; its name where it is a part of a character."""
    text, name = str(tokenizer.decode([token_id])), str(tokenizer.convert_ids_to_tokens(token_id))
    if "\ufffd" in text:
        return name
    return f" {text}" if name.startswith("\u2581") and not text.startswith(" ") else text


def pieces_of(tokenizer: Any, ids: Sequence[int]) -> list[tuple[str, int]]:
    """What ids read as, one after another, and of how many each piece is: those that make a character together are one."""
    pieces, at = [], 0
    while at < len(ids):
        text, count = string_of(tokenizer, ids[at]), 1
        if "\ufffd" in str(tokenizer.decode([ids[at]])):
            for longer in range(2, min(LONGEST, len(ids) - at) + 1):
                together = str(tokenizer.decode(list(ids[at : at + longer])))
                if "\ufffd" not in together:
                    text, count = together, longer
                    break
        pieces.append((text, count))
        at += count
    return pieces


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 over the sorted pairs (id, token): equal exactly when two tokenizers give ids the same strings."""
    pairs = sorted((i, token) for token, i in tokenizer.get_vocab().items())
    return digest(pairs)
