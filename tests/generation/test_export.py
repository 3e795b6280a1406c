"""Exported rows, and the two trainers that the card names: both take the rows as they are."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset, load_dataset

from faithful.corpus import Corpus
from faithful.errors import FaithfulError
from generation.export import ExportConfig, export
from tests.faithful.test_corpus import BOS, EOS, build_corpus

CONTEXT = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of random ids that every tiny model of `tests.families` has; never change it."""
    out = tmp_path_factory.mktemp("export") / "runs" / "made-up" / "corpora" / "own"
    build_corpus(out, {"train": 300, "test": 40}, vocab_size=256)
    return out


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    """Its packed rows."""
    return export(ExportConfig(folder, CONTEXT, out=folder.parent / "rows"))[0]


def ids(path: Path) -> list[list[int]]:
    return pq.read_table(path)["input_ids"].to_pylist()


def test_packed_rows_are_full_begin_with_bos_and_hold_every_token_once(folder: Path, exported: Path) -> None:
    for split in ("train", "test"):
        rows = ids(exported / f"{split}.parquet")
        stream: list[int] = []
        for document in Corpus(folder).documents(split):
            stream += document.tolist()
            stream += [EOS] if not len(document) or document[-1] != EOS else []
        assert len(rows) == len(stream) // (CONTEXT - 1)
        assert {len(row) for row in rows} == {CONTEXT}
        assert {row[0] for row in rows} == {BOS}
        kept = [token for row in rows for token in row[1:]]
        assert kept == stream[: len(kept)]
        assert len(stream) - len(kept) < CONTEXT - 1


def test_aligned_rows_are_the_beginnings_of_the_documents(folder: Path, tmp_path: Path) -> None:
    out, count = export(ExportConfig(folder, 8, "aligned", tmp_path / "rows"))
    for split in ("train", "test"):
        documents = [document.tolist() for document in Corpus(folder).documents(split)]
        assert ids(out / f"{split}.parquet") == [[BOS, *document[:7]] for document in documents]
    assert count == 300


def test_the_type_is_what_trainers_read_and_the_count_is_the_rows(folder: Path, tmp_path: Path) -> None:
    out, count = export(ExportConfig(folder, CONTEXT, out=tmp_path / "rows"))
    table = pq.read_table(out / "train.parquet")
    assert table.schema == pa.schema([pa.field("input_ids", pa.list_(pa.int32()))])
    assert table.num_rows == count > 100
    first = (out / "train.parquet").read_bytes()
    assert export(ExportConfig(folder, CONTEXT, out=tmp_path / "rows")) == (out, count)
    assert (out / "train.parquet").read_bytes() == first


def test_the_default_place_is_named_after_the_corpus(folder: Path) -> None:
    out, _ = export(ExportConfig(folder, 8))
    assert out.name == "own-input_ids-packed-8"
    assert folder.parents[1] in out.parents


def test_a_corpus_outside_a_run_is_exported_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never outside the folder that the corpus lies in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    build_corpus(Path("own"), {"train": 40, "test": 10})
    out, _ = export(ExportConfig(Path("own"), 8))
    assert (tmp_path / "work") in out.resolve().parents


def test_a_killed_export_is_made_again(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / ".train.parquet.tmp").write_text("half")
    _, count = export(ExportConfig(folder, CONTEXT, out=tmp_path / "rows"))
    assert count > 100


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"context": 1}, "at least 2"),
        ({"context": 8, "layout": "loose"}, "packed or aligned"),
        ({"context": 100_000}, "too few tokens"),
    ],
    ids=str,
)
def test_refusals(folder: Path, tmp_path: Path, stated: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        export(ExportConfig(folder, out=tmp_path / "rows", **stated))
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="not empty"):
        export(ExportConfig(folder, 8, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def rows(exported: Path, tmp_path: Path) -> Dataset:
    """As the card loads them."""
    path = str(exported / "train.parquet")
    return load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any tokenisation of text fails."""
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("text was tokenised again")

    for name in ("__call__", "encode"):
        monkeypatch.setattr(PreTrainedTokenizerBase, name, never)
    monkeypatch.setattr(PreTrainedTokenizerFast, "_encode_plus", never)


@pytest.mark.usefixtures("no_tokenizer")
def test_saelens_trains_on_the_rows_as_they_are(
    exported: Path, rows: Dataset, tmp_path: Path, family_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    store = sae_lens.ActivationsStore
    seen: list[list[int]] = []
    get_batch_tokens = store.get_batch_tokens

    def noted(self: Any, *arguments: Any, **keywords: Any) -> torch.Tensor:
        batch = get_batch_tokens(self, *arguments, **keywords)
        seen.extend(batch.tolist())
        return batch

    monkeypatch.setattr(store, "get_batch_tokens", noted)
    config = sae_lens.LanguageModelSAERunnerConfig(
        sae=sae_lens.TopKTrainingSAEConfig(d_in=64, d_sae=128, k=4),
        model_name=str(family_folder("gpt2")),
        model_class_name="AutoModelForCausalLM",
        hook_name="transformer.h.1",
        dataset_path="",
        is_dataset_tokenized=True,
        prepend_bos=True,
        context_size=CONTEXT,
        training_tokens=2048,
        train_batch_size_tokens=256,
        store_batch_size_prompts=8,
        n_batches_in_buffer=64,
        n_checkpoints=0,
        checkpoint_path=str(tmp_path / "checkpoints"),
        output_path=str(tmp_path / "sae"),
        device="cpu",
        logger=sae_lens.LoggingConfig(log_to_wandb=False),
    )
    sae = sae_lens.LanguageModelSAETrainingRunner(config, override_dataset=rows).run()
    ours = ids(exported / "train.parquet")
    assert len(seen) >= 2048 // CONTEXT
    assert seen == list(islice(ours * (len(seen) // len(ours) + 1), len(seen)))
    assert sae.cfg.metadata.prepend_bos is True
    assert sae.cfg.d_sae == 128


@pytest.mark.usefixtures("no_tokenizer")
def test_sparsify_trains_on_the_rows_as_they_are(
    exported: Path, rows: Dataset, tmp_path: Path, family_model: Callable[[str], tuple[Any, Any]]
) -> None:
    sparsify = pytest.importorskip("sparsify")
    model = family_model("gpt2")[1]
    seen: list[list[int]] = []

    def note(_: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        batch = arguments[0] if arguments else keywords["input_ids"]
        if tuple(batch.shape) == (8, CONTEXT):
            seen.extend(batch.tolist())

    config = sparsify.TrainConfig(
        sparsify.SaeConfig(k=4, num_latents=128),
        batch_size=8,
        layers=[1],
        log_to_wandb=False,
        save_dir=str(tmp_path),
        run_name="run",
    )
    trainer = sparsify.Trainer(config, rows.with_format("torch").select(range(80)), model)
    handle = model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        trainer.fit()
    finally:
        handle.remove()
        model.requires_grad_(True)
    assert seen == ids(exported / "train.parquet")[:80]
    assert list(tmp_path.glob("run/**/sae.safetensors"))
