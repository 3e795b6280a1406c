"""Texts as the token ids of documents: the first tokens of each text, in parallel batches, special strings as plain text."""

import copy
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec

SLACK = 64
_HEAD_CHARACTERS_PER_TOKEN, _HEAD_LEAST = 6, 512
_CONTROL = re.compile(r"<.+>$|\[.+\]$", re.DOTALL)  # a padding token may be any word of the language
_NO_TEXT = "\ufdd0\ufdd1"  # noncharacters, which Unicode keeps out of texts


class Encoder:
    """Makes documents of texts: their first `limit` tokens, or all of them and one end-of-text where both fit.

    A string that looks like a special token, `<|endoftext|>` written in a text, becomes the tokens of its characters: only
    a real end of a document gives an end-of-text id. So does an added token whose id the model's embedding does not reach.

    Attributes:
        backend: the tokenizer, its own copy, set up so.
        limit: most tokens of a document.
        eos_id: id that closes a document, None where the model has none.

    Raises:
        FaithfulError: the model has no fast tokenizer, one that takes such a string for a token all the same, or one whose
            own vocabulary goes beyond the model's.
    """

    def __init__(self, tokenizer: Any, spec: ModelSpec, limit: int) -> None:
        if not isinstance(getattr(tokenizer, "backend_tokenizer", None), Tokenizer):
            raise FaithfulError(f"{spec.name} has no fast tokenizer (tokenizer.json); choose a model that has one.")
        self.backend: Tokenizer = copy.deepcopy(tokenizer.backend_tokenizer)
        self.backend.no_truncation()
        self.backend.no_padding()
        self._read_as_text(spec)
        self.limit = limit
        stated = tokenizer.eos_token_id
        self.eos_id = stated if stated in spec.eos_ids else next(iter(spec.eos_ids), None)

    def _read_as_text(self, spec: ModelSpec) -> None:
        """Make text of the strings of special tokens, end-of-text ids and added tokens beyond the model."""
        ends = {token: self.backend.id_to_token(token) for token in spec.eos_ids}
        beyond = {token: string for string, token in self.backend.get_vocab().items() if token >= spec.vocab_size}
        added = self.backend.get_added_tokens_decoder()
        for token, string in beyond.items():
            if token not in added:
                raise FaithfulError(
                    f"The tokenizer of {spec.name} has the token '{string}' with the id {token}, and the model's vocabulary"
                    f" ends at {spec.vocab_size - 1}: the two do not belong together; choose another model."
                )
        strings = {token: string for token, string in (ends | beyond).items() if string is not None}
        self.backend.add_special_tokens(list(strings.values()))
        self.backend.encode_special_tokens = True
        controls = {
            token: entry.content for token, entry in added.items() if entry.special and _CONTROL.match(entry.content)
        }
        taken = self._taken(controls | strings)
        if taken:
            self.backend = without_pieces(self.backend, taken)
        for token, string in self._taken(strings).items():
            what = "its end" if token in ends else f"the id {token}, which the model does not have"
            raise FaithfulError(
                f"The tokenizer of {spec.name} takes '{string}' written in a text for {what}; choose another model."
            )

    def _taken(self, strings: dict[int, str]) -> dict[int, str]:
        """The strings, by id, that the tokenizer takes for their special token where a text holds them."""
        probes = [f"a {string} b" for string in strings.values()]
        encodings = self.backend.encode_batch(probes, add_special_tokens=False)
        return {
            token: string
            for (token, string), encoding in zip(strings.items(), encodings, strict=True)
            if token in encoding.ids
        }

    def encode(self, texts: list[str]) -> list[tuple[np.ndarray, bool]]:
        """The documents of texts; see `beginnings` and `close`."""
        return [self.close(ids) for ids in self.beginnings(texts)]

    def beginnings(self, texts: list[str]) -> list[np.ndarray]:
        """The first ids of texts, uint32 [≤ limit], none for a text without tokens.

        Of a long text only a beginning is tokenised, however long it is.
        """
        documents: list[np.ndarray | None] = [None] * len(texts)
        size = _HEAD_CHARACTERS_PER_TOKEN * self.limit + _HEAD_LEAST
        open_ = list(range(len(texts)))
        while open_:
            heads = [_head(texts[place], size) for place in open_]
            encodings = self.backend.encode_batch_fast(heads, add_special_tokens=False)
            longer = []
            for place, head, encoding in zip(open_, heads, encodings, strict=True):
                if len(head) < len(texts[place]) and len(encoding) < self.limit + SLACK:
                    longer.append(place)
                else:
                    documents[place] = np.array(encoding.ids[: self.limit], np.uint32)
            open_, size = longer, 2 * size
        return [ids for ids in documents if ids is not None]

    def close(self, ids: np.ndarray) -> tuple[np.ndarray, bool]:
        """A text's ids, cut to the limit or closed by an end-of-text, and whether they are closed.

        They are not where the text was cut for length, nor where the model has no end-of-text.
        """
        if self.eos_id is None or not 0 < len(ids) < self.limit:
            return ids[: self.limit], False
        return np.append(ids, np.uint32(self.eos_id)), True


def without_pieces(backend: Tokenizer, strings: dict[int, str]) -> Tokenizer:
    """A tokenizer that no longer finds some tokens in a text: unigram models and word lists hold `</s>` among their pieces,
    where it is found like any word. Ids stay; the pieces get names that no text holds, and special tokens are forgotten.

    Args:
        backend: it is left as it is.
        strings: by id.

    Returns:
        The new tokenizer, or the old one where the vocabulary cannot be told apart from its merges.
    """
    written = json.loads(backend.to_str())
    model, names = written["model"], {string: f"{_NO_TEXT}{token}" for token, string in strings.items()}
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): token for piece, token in model["vocab"].items()}
    model["unk_token"] = names.get(model.get("unk_token"), model.get("unk_token"))
    written["added_tokens"] = [token for token in written["added_tokens"] if not token["special"]]
    try:
        renamed = Tokenizer.from_str(json.dumps(written))
    except Exception:  # the library raises Exception itself: a merge of pieces makes the string
        return backend
    renamed.encode_special_tokens = True
    return renamed


def _head(text: str, size: int) -> str:
    """At most the first `size` characters, up to a blank where there is one: tokens do not reach across it.

    What is used of them are the first tokens, at least 64 before the end, so that where it ends does not show.
    """
    if len(text) <= size:
        return text
    blank = text.rfind(" ", size // 2, size)
    return text[: blank if blank > 0 else size]


@contextmanager
def parallel_tokenising() -> Iterator[None]:
    """Let tokenizers use every core; the command line turns that off for what forks."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
