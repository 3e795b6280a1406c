"""Texts as ids: those of the tokenizer, special strings as plain text."""

from dataclasses import replace

import pytest

from faithful.base.errors import FaithfulError
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from generation.external.encoder import Encoder
from tests.families import TEXT
from tests.generation.external.test_add import AWKWARD, Folder


def test_ids_are_those_of_the_tokenizer_with_special_strings_as_text(family: str, family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder(family)))
    tokenizer = load_tokenizer(spec.source, None)
    encoder = Encoder(tokenizer, spec, 20)
    for text, (ids, closed) in zip(AWKWARD, encoder.encode(AWKWARD), strict=True):
        whole = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert closed == (len(whole) < 20)
        assert ids.tolist() == ([*whole, tokenizer.eos_token_id] if closed else whole[:20])
        assert not {*spec.eos_ids, tokenizer.bos_token_id} & set(whole[:20])
    special = tokenizer("x" + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id in special, "the tokenizer itself is left as it was"


def test_a_tokenizer_without_word_borders_gives_the_same_beginning(family_folder: Folder) -> None:
    """As Gemma's and Llama 2's: blanks are letters, a text is one word; only a beginning of it is tokenised."""
    from tokenizers import Tokenizer, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "</s>"], show_progress=False)
    core.train_from_iterator([word for line in TEXT.split() for word in (line, "▁" + line)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", unk_token="<unk>")
    spec = replace(resolve_model(str(family_folder("gpt2"))), eos_ids=(1,), vocab_size=400)
    encoder = Encoder(tokenizer, spec, 20)
    assert "▁the" in core.get_vocab()
    for text, (ids, closed) in zip(AWKWARD, encoder.encode(AWKWARD), strict=True):
        whole = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert ids.tolist() == ([*whole, 1] if closed else whole[:20])


def test_an_end_of_text_that_is_no_special_token_is_text_too(family_folder: Folder) -> None:
    spec = resolve_model(str(family_folder("gpt2")))
    tokenizer = load_tokenizer(spec.source, None)
    tokenizer.add_tokens(["<end>"])
    spec = replace(spec, eos_ids=(*spec.eos_ids, tokenizer.convert_tokens_to_ids("<end>")))
    ids, closed = Encoder(tokenizer, spec, 40).encode(["a<end>b"])[0]
    assert closed
    assert ids[-1] == tokenizer.eos_token_id
    assert not set(ids[:-1].tolist()) & set(spec.eos_ids)
    assert tokenizer.decode(ids[:-1]) == "a<end>b"


@pytest.mark.parametrize("kind", ["unigram", "words"])
@pytest.mark.parametrize("marked", [True, False], ids=["special tokens", "pieces alone"])
def test_special_strings_among_the_pieces_of_a_vocabulary_are_text_too(
    family_folder: Folder, kind: str, marked: bool
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special, words = ["<unk>", "<s>", "</s>"], ["a", "b", "the", "<", ">", "/", "s", " ", "▁"]
    if kind == "unigram":
        core = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(special + words)], unk_id=0))
    else:
        core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + words)}, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} if marked else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=core, **roles)
    spec = replace(resolve_model(str(family_folder("gpt2"))), bos_id=1, eos_ids=(2,), vocab_size=12)
    plain = "the a b"
    encoder = Encoder(fast, spec, 40)
    (ids, closed), (before, _) = encoder.encode(["the </s> a <s> b", plain])
    assert closed and ids[-1] == 2
    assert not {2} & set(ids[:-1].tolist())
    assert not marked or not {1, 2} & set(ids[:-1].tolist())
    assert before.tolist() == [*core.encode(plain, add_special_tokens=False).ids, 2]
    if kind == "unigram" and marked:
        assert core.decode(ids[:-1].tolist(), skip_special_tokens=False).replace(" ", "") == "the</s>a<s>b"


def test_a_tokenizer_that_cannot_tell_is_refused(family_folder: Folder) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    spec = resolve_model(str(family_folder("gpt2")))
    pieces = ["<unk>", "</s>", *"</s> ab", "</", "s>"]
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    made = models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>")
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(made), eos_token="</s>", unk_token="<unk>")
    with pytest.raises(FaithfulError, match="takes '</s>' written in a text for its end"):
        Encoder(fast, replace(spec, eos_ids=(1,), vocab_size=300), 20)
    with pytest.raises(FaithfulError, match="no fast tokenizer"):
        Encoder(object(), spec, 20)
