"""Exported rows, and the two trainers that the card names: both take the rows as they are."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.store.corpus import Corpus
from generation.configs.export import ExportConfig
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from generation.writing.export import export
from studies.common.config import StudyConfig
from studies.common.inputs import resolve_input
from tests.faithful.store.test_corpus import BOS, EOS, build_corpus

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


def test_a_corpus_without_tokens_has_no_rows_of_any_context(tmp_path: Path) -> None:
    build_corpus(tmp_path / "own", {"train": 0, "test": 10})
    with pytest.raises(FaithfulError, match="holds no tokens yet"):
        export(ExportConfig(tmp_path / "own", 8))


def test_a_folder_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FaithfulError, match="not empty"):
        export(ExportConfig(folder, 8, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory, family_folder: Callable[[str], Path]) -> Path:
    """A corpus that a tiny GPT-2 sampled, its packed rows beside it; never change it."""
    out = tmp_path_factory.mktemp("sampled") / "own"
    stated = {"tokens": 4000, "held_out": 200, "max_tokens": CONTEXT - 1, "certify_tokens": 0}
    generate(GenerateConfig(model=str(family_folder("gpt2")), out=out, workers=1, device="cpu", **stated))  # type: ignore[arg-type]
    export(ExportConfig(out, CONTEXT, out=out.parent / "rows"))
    return out


def run_snippet(sampled: Path, title: str) -> dict[str, Any]:
    """Run the code under a title of the card beside the exported rows; its names."""
    card = (sampled / "README.md").read_text(encoding="utf-8")
    code = card.split(title, 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    Path("input_ids").symlink_to(sampled.parent / "rows")
    names: dict[str, Any] = {}
    exec(compile(code, title, "exec"), names)
    return names


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with caches of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any tokenisation of text fails."""
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("text was tokenised again")

    for name in ("__call__", "encode"):
        monkeypatch.setattr(PreTrainedTokenizerBase, name, never)
    monkeypatch.setattr(PreTrainedTokenizerFast, "_encode_plus", never)


@pytest.mark.usefixtures("no_tokenizer", "empty_folder")
def test_saelens_trains_on_the_rows_as_they_are(sampled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    store = sae_lens.ActivationsStore
    seen: list[list[int]] = []
    get_batch_tokens = store.get_batch_tokens

    def noted(self: Any, *arguments: Any, **keywords: Any) -> torch.Tensor:
        batch = get_batch_tokens(self, *arguments, **keywords)
        seen.extend(batch.tolist())
        return batch

    monkeypatch.setattr(store, "get_batch_tokens", noted)
    sae = run_snippet(sampled, "<summary>With SAELens<")["sae"]
    ours = ids(sampled.parent / "rows" / "train.parquet")
    assert len(seen) >= Corpus(sampled).tokens() // CONTEXT
    assert seen == list(islice(ours * (len(seen) // len(ours) + 1), len(seen)))
    assert sae.cfg.metadata.prepend_bos is True
    assert sae.cfg.d_sae == 8 * 64
    assert sae.cfg.metadata.hook_name == "transformer.h.0"
    studied = resolve_input(StudyConfig(saes=(Path("output"),), corpora=(sampled,), out=Path("study"), device="cpu"))
    assert (studied.hook, studied.saes[0].shape) == (Hook(0, "resid_post"), "resid_post.0-f512-k32")


@pytest.mark.usefixtures("no_tokenizer", "empty_folder")
def test_sparsify_trains_on_the_rows_as_they_are(
    sampled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparsify = pytest.importorskip("sparsify")
    seen: list[list[int]] = []
    fit = sparsify.Trainer.fit

    def noted(self: Any) -> None:
        self.model.base_model.register_forward_pre_hook(note, with_kwargs=True)
        fit(self)

    def note(_: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        batch = arguments[0] if arguments else keywords["input_ids"]
        if tuple(batch.shape) == (8, CONTEXT):
            seen.extend(batch.tolist())

    monkeypatch.setattr(sparsify.Trainer, "fit", noted)
    run_snippet(sampled, "<summary>With sparsify<")
    ours = ids(sampled.parent / "rows" / "train.parquet")
    whole = len(ours) // 8 * 8
    assert seen[:whole] == ours[:whole]
    assert list(tmp_path.glob("**/sae.safetensors"))
