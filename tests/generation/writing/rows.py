"""A tokenizer of bytes, random documents, and what is counted in them plainly."""

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

EOS = 0


END = "<|endoftext|>"


def byte_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=[END], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["the cat sat on the mat and the rat sat on the hat"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)


TOKENIZER = byte_tokenizer()


MAPPED = len(TOKENIZER)


VOCAB = MAPPED + 20


def random_rows(rng: np.random.Generator, rows: int, longest: int = 150) -> list[list[int]]:
    """Random documents with end-of-texts, empty documents and duplicates among them."""
    found: list[list[int]] = []
    for _ in range(rows):
        kind = rng.random()
        ids = rng.zipf(1.3, rng.integers(1, longest)).clip(1, VOCAB - 1).tolist()
        if kind < 0.1:
            ids = [EOS]
        elif kind < 0.2 and found:
            ids = list(found[rng.integers(len(found))])
        elif kind < 0.6:
            ids.append(EOS)
        found.append(ids)
    return found


def shingles(ids: list[int]) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + 5]) for i in range(max(len(ids) - 4, 1))}


def jaccard(left: list[int], right: list[int]) -> float:
    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b)
