"""Tokenizers told apart."""

from collections.abc import Callable
from pathlib import Path

from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer, tokenizer_hash
from tests.families import FAMILIES

Folder = Callable[[str], Path]


def test_padded_vocabulary_of_gpt_neox(family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("gpt_neox")))
    tokenizer = load_tokenizer(spec.source, None)
    assert spec.mapped == len(tokenizer) == tokenizer.vocab_size + 3  # added tokens have strings too
    assert spec.mapped < spec.vocab_size


def test_tokenizer_hash_tells_tokenizers_apart(family_folder: Folder) -> None:
    hashes = {name: resolve_model(str(family_folder(name))).tokenizer_sha256 for name in FAMILIES}
    assert len(set(hashes.values())) == len(FAMILIES)
    tokenizer = load_tokenizer(str(family_folder("gpt2")), None)
    assert tokenizer_hash(tokenizer) == hashes["gpt2"]
    tokenizer.add_tokens(["unheard of"])
    assert tokenizer_hash(tokenizer) != hashes["gpt2"]
