"""Tokenizers that do not fill their model's vocabulary, or go beyond it: no id outside is written or read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Corpus, Document, read_manifest, write_manifest
from faithful.store.token_rows import TokenRows
from generation.configs.add import AddConfig
from generation.configs.derive import SubsampleConfig
from generation.configs.export import ExportConfig
from generation.derived.subsample import subsample
from generation.external.add import add
from generation.external.encoder import Encoder
from generation.sampling.distribution import Sampling, log_q
from generation.writing.export import export
from generation.writing.identity import spec_of
from generation.writing.shards import decode
from generation.writing.statistics import shard_statistics
from studies.common.panel import noise_rows

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
HOLE = (100, 110)


def model_with(folder: Path, tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab_size, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def letters_from(ids: list[int]) -> PreTrainedTokenizerFast:
    """One token for each byte, with the ids given; 0 is the end of a text."""
    core = Tokenizer(models.BPE(vocab={"<|endoftext|>": 0, **dict(zip(LETTERS, ids, strict=True))}, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.fixture
def beyond(tmp_path: Path) -> Path:
    """257 rows of an embedding; an ordinary token, a special one and one of blanks lie beyond them."""
    tokenizer = letters_from(list(range(1, 257)))
    tokenizer.add_tokens([AddedToken("<|think|>", normalized=False), AddedToken("    ", normalized=True)])
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    return model_with(tmp_path / "beyond", tokenizer, 257)


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """Ids 100 to 109 have no string, nor have 267 to 269; the largest with one is 266, and there are 257 strings."""
    return model_with(tmp_path / "holed", letters_from([*range(1, HOLE[0]), *range(HOLE[1], 267)]), 270)


def documents(path: Path) -> Path:
    texts = [f"<|think|>step {i}: add {i} and {i + 1}<|think|>    gives {2 * i + 1} [PAD]" for i in range(200)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_added_tokens_beyond_the_embedding_are_text(beyond: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    source = documents(tmp_path / "docs.jsonl")
    add(AddConfig(str(source), model=str(beyond), tokens=3000, held_out=1, context=64, out=out))
    texts = [text for batch in Corpus(out).batches("train", ["text"]) for text in batch.column("text").to_pylist()]
    assert max(int(ids.max()) for ids in Corpus(out).documents()) < 257
    assert all(text.startswith("<|think|>step") for text in texts)
    assert any("<|think|>    gives" in text for text in texts)


def test_what_the_embedding_lacks_of_the_tokenizers_own_vocabulary_is_refused_by_name(tmp_path: Path) -> None:
    folder = model_with(tmp_path / "short", letters_from(list(range(1, 257))), 250)
    spec = resolve_model(str(folder))
    with pytest.raises(
        FaithfulError, match=r"has the token '.' with the id 25\d, and the model's vocabulary ends at 249"
    ):
        Encoder(load_tokenizer(str(folder), None), spec, 20)
    source = documents(tmp_path / "docs.jsonl")
    with pytest.raises(FaithfulError, match="do not belong together"):
        add(AddConfig(str(source), model=str(folder), tokens=300, context=64, out=tmp_path / "corpus"))
    assert not (tmp_path / "corpus" / "data").exists()


def test_ids_with_strings_are_counted_by_id(holed: Path, beyond: Path) -> None:
    spec = resolve_model(str(holed))
    assert (spec.mapped, spec.holes, spec.vocab_size) == (267, (HOLE,), 270)
    assert spec.string_ids().tolist() == [*range(100), *range(110, 267)]
    assert resolve_model(str(beyond)).mapped == 257
    assert resolve_model(str(beyond)).holes == ()


def test_ids_in_holes_are_never_drawn_where_they_are_masked(holed: Path) -> None:
    spec = resolve_model(str(holed))
    sampling = Sampling(mask_unmapped=True)
    logits = load_model(spec, "cpu")(torch.tensor([[0, 5, 200]])).logits[0]
    possible = log_q(logits, sampling, None, spec.mapped, spec.holes) > -np.inf
    assert all(torch.equal(row.nonzero()[:, 0], torch.tensor(spec.string_ids())) for row in possible)
    drawn = np.concatenate(noise_rows(spec, 200, 60, 0))
    assert not set(range(*HOLE)) & set(drawn.tolist())
    assert 266 in drawn


def test_only_ids_without_a_string_count_as_unmapped(holed: Path) -> None:
    spec, tokenizer = resolve_model(str(holed)), load_tokenizer(str(holed), None)
    rows = [Document(0, 0, [266, 105, 5, 268], "length"), Document(1, 0, [110, 99], "length")]
    texts = decode(tokenizer, [row.token_ids for row in rows], spec.mapped)
    assert texts[1] == tokenizer.decode([110, 99])
    assert len(texts[0]) == len(tokenizer.decode([266, 5]))
    assert shard_statistics(rows, texts, tokenizer, spec.eos_ids, spec.mapped, spec.holes)["unmapped"] == 2


def test_holes_belong_to_the_identity(holed: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    source = documents(tmp_path / "docs.jsonl")
    add(AddConfig(str(source), model=str(holed), tokens=900, held_out=1, context=64, out=out))
    manifest = read_manifest(out)
    assert manifest.identity["model"]["holes"] == [list(HOLE)]
    assert spec_of(manifest) == resolve_model(str(holed))


def with_foreign_id(out: Path, token: int) -> Path:
    """The corpus, one id of its first shard replaced and the manifest made to agree."""
    manifest = read_manifest(out)
    shard = manifest.shards["train"][0]
    table = pq.read_table(out / shard.file)
    rows = table["token_ids"].to_pylist()
    rows[1][0] = token
    column = pa.array(rows, table.schema.field("token_ids").type)
    pq.write_table(table.set_column(table.schema.names.index("token_ids"), "token_ids", column), out / shard.file)
    changed = replace(shard, sha256=sha256_file(out / shard.file), bytes=(out / shard.file).stat().st_size)
    manifest.shards["train"][0] = changed
    write_manifest(out, manifest)
    return out


def test_ids_outside_the_vocabulary_are_refused_wherever_they_are_read(beyond: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    source = documents(tmp_path / "docs.jsonl")
    add(AddConfig(str(source), model=str(beyond), tokens=3000, held_out=300, context=64, out=out))
    with_foreign_id(out, 257)
    readers: list[Any] = [
        lambda: export(ExportConfig(out, 32, out=tmp_path / "exported")),
        lambda: TokenRows(Corpus(out), resolve_model(str(beyond)), 32),
        lambda: subsample(SubsampleConfig(out, tokens=500, out=tmp_path / "part")),
        lambda: list(Corpus(out).documents()),
    ]
    for read in readers:
        with pytest.raises(
            FaithfulError, match=r"part-00000.parquet holds the token id 257, and the vocabulary .* ends at 256"
        ):
            read()
