"""tokenizer.json counts, whatever class its model names: no blank lost, none added, no id of a class of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from faithful.base.errors import FaithfulError
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Corpus
from generation.configs.add import AddConfig
from generation.external.add import add

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "red", "boats"]
TEXTS = [" ".join(WORDS[(i * 7 + j * (1 + i % 5)) % len(WORDS)] for j in range(30)) + f" {i}." for i in range(60)]
AWKWARD = ["  two blanks before", "tabs\tand\nlines\n\n", "naïve café", " ", "blank after "]
CLASSES = (
    "LlamaTokenizerFast",
    "GemmaTokenizerFast",
    "Qwen2TokenizerFast",
    "GPT2Tokenizer",
    "CohereTokenizerFast",
    "CodeLlamaTokenizer",
    "Siglip2Tokenizer",
)


def byte_level() -> Tokenizer:
    """Bytes with blanks as Ġ, as GPT-2's, Llama 3's and Qwen's files."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    return core


def sentencepiece() -> Tokenizer:
    """Characters with blanks as ▁ and one put before every text, as Llama 2's files."""
    letters = [
        "<|begin|>",
        "<|end|>",
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *sorted(set("".join(WORDS))),
    ]
    vocab = {token: place for place, token in enumerate(letters)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(parts)
    core.add_special_tokens(letters[:3])
    return core


def give_tokenizer(folder: Path, core: Tokenizer, **config: object) -> None:
    """Put a tokenizer.json and its tokenizer_config.json into a model's folder."""
    core.save(str(folder / "tokenizer.json"))
    stated = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "clean_up_tokenization_spaces": False} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))


@pytest.fixture
def folder(tmp_path: Path, family_folder: Callable[[str], Path]) -> Path:
    """A Llama whose tokenizer is still to be given."""
    model = Path(shutil.copytree(family_folder("llama"), tmp_path / "model"))
    (model / "generation_config.json").unlink()
    config = json.loads((model / "config.json").read_text()) | {"bos_token_id": 0, "eos_token_id": 1, "vocab_size": 320}
    (model / "config.json").write_text(json.dumps(config))
    return model


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
@pytest.mark.parametrize("name", CLASSES)
def test_ids_are_those_of_the_file_whatever_class_is_named(
    folder: Path, make: Callable[[], Tokenizer], name: str
) -> None:
    give_tokenizer(folder, make(), tokenizer_class=name)
    core, tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json")), load_tokenizer(str(folder), None)
    for text in TEXTS[:5] + AWKWARD:
        ids = core.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == core.decode(ids, skip_special_tokens=False)
    assert tokenizer.bos_token == "<|begin|>"
    assert tokenizer.eos_token == "<|end|>"


def test_corpus_of_a_byte_level_model_of_the_llama_class_keeps_its_blanks(folder: Path, tmp_path: Path) -> None:
    give_tokenizer(folder, byte_level(), tokenizer_class="LlamaTokenizerFast", legacy=True)
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    out = tmp_path / "corpus"
    add(AddConfig(str(tmp_path / "docs.jsonl"), model=str(folder), context=64, tokens=900, held_out=1, out=out))
    core = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = {tuple(core.encode(text, add_special_tokens=False).ids[:63]) for text in TEXTS}
    end = core.token_to_id("<|end|>")
    documents = list(Corpus(out).documents())
    assert documents
    assert all(tuple(i for i in ids.tolist() if i != end) in expected for ids in documents)
    assert any(batch.column("text")[0].as_py() in TEXTS for batch in Corpus(out).batches("train", ["text"]))


def test_tokenizer_that_no_class_makes_as_written_is_refused_by_name(folder: Path) -> None:
    added = {"320": {"content": "quick brown", "special": False, "normalized": False}}
    give_tokenizer(folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast", added_tokens_decoder=added)
    with pytest.raises(FaithfulError, match=r"does not do what its tokenizer\.json says: 'The quick brown"):
        load_tokenizer(str(folder), None)


def test_damaged_tokenizer_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(FaithfulError, match="Cannot load the tokenizer of"):
        load_tokenizer(str(folder), None)
