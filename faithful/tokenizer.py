"""The tokenizer of a causal LM."""

import hashlib
import json
from typing import Any

from faithful.errors import FaithfulError
from faithful.model_files import first_line
from faithful.tokenizer_file import as_written


def load_tokenizer(source: str, revision: str | None) -> Any:
    """The tokenizer of a model, which gives the ids that its tokenizer.json gives.

    Raises:
        FaithfulError: it cannot be loaded, or does not do what its tokenizer.json says.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    except Exception as error:
        raise FaithfulError(f"Cannot load the tokenizer of {source}: {first_line(error)}.") from error
    return as_written(tokenizer, source, revision)


def tokenizer_hash(tokenizer: Any) -> str:
    """SHA-256 over the sorted pairs (id, token): equal exactly when two tokenizers give ids the same strings."""
    pairs = sorted((i, token) for token, i in tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(pairs, ensure_ascii=True).encode()).hexdigest()
