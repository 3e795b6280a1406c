"""Documents of uniform random tokens: text with no structure at all, the far end of every comparison."""

from typing import Any

import numpy as np

from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Document
from generation.sampling.seeds import sample_seed, uniforms

DOMAINS = {"train": "noise", "test": "noise-test"}


class Noise:
    """Random documents, each from a generator of its own: seed domains `noise` (train) and `noise-test`.

    Attributes:
        ids: int64, the ids drawn from: every id that has a string and is no special token.
        seed: of the corpus.
        length: tokens per document.
    """

    def __init__(self, tokenizer: Any, spec: ModelSpec, seed: int, length: int) -> None:
        added = {token for token, content in tokenizer.added_tokens_decoder.items() if content.special}
        special = {*tokenizer.all_special_ids, *added, *spec.eos_ids, spec.bos_id}
        known = set(tokenizer.get_vocab().values()) - special
        self.ids = np.array(sorted(token for token in known if token < spec.vocab_size), np.int64)
        self.seed, self.length = seed, length
        if not len(self.ids):
            raise FaithfulError(f"The tokenizer of {spec.name} has nothing but special tokens; choose another model.")

    def document(self, split: str, index: int) -> Document:
        """Document `index` of a split; it is cut for length, as all of them."""
        seed = sample_seed(self.seed, DOMAINS[split], index)
        draws = uniforms(np.array([seed]), self.length)[0]
        ids = self.ids[(draws * len(self.ids)).astype(np.int64)]
        return Document(index, 0, ids.tolist(), "length", doc_id=f"{DOMAINS[split]}-{index}", source="noise")
