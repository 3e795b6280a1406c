"""The shell that makes every corpus, with a job that writes two documents of noise."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.base.progress import Reporter, silent
from faithful.models.spec import ModelSpec, resolve_model
from faithful.models.tokenizer import load_tokenizer
from faithful.store.corpus import Document, Manifest, write_manifest
from generation.writing.identity import model_provenance, tokenizer_identity
from generation.writing.job import CorpusJob, CorpusResult, run_job
from generation.writing.recorded import open_corpus
from generation.writing.shards import CorpusWriter


@cache
def tiny() -> tuple[ModelSpec, Any]:
    """The embedded model and its tokenizer."""
    spec = resolve_model("tiny")
    return spec, load_tokenizer(spec.source, None)


class Noise(CorpusJob):
    """Notes what it is told to do; `fails` ends it after its first shard."""

    command = "noise"

    def __init__(self, folder: Path, tokens: int = 20, fails: bool = False, seed: int = 0) -> None:
        self.folder, self.tokens, self.fails, self.seed = folder, tokens, fails, seed
        self.done: list[str] = []
        self.described = False
        self.manifest = self._open()

    def _open(self) -> Manifest:
        spec, _ = tiny()
        identity: Any = {"model": tokenizer_identity(spec), "seed": self.seed}
        return open_corpus(self.folder, "external", identity, {"model": model_provenance(spec)})

    def go_on(self, manifest: Manifest) -> None:
        self.done.append("go on")
        self.manifest = self._open()

    def is_reached(self) -> bool:
        return self.manifest.tokens() >= self.tokens

    def settle(self, report: Reporter) -> None:
        self.done.append("settle")

    def write(self, report: Reporter) -> bool:
        self.done.append("write")
        write_manifest(self.folder, self.manifest)
        writer = CorpusWriter(self.folder, self.manifest, *tiny(), {"train": self.tokens, "test": 0}, 1)
        while writer.wants("train"):
            index = writer.next_row("train")
            writer.add("train", Document(index, 0, np.arange(10).tolist(), "length"))
            if self.fails:
                raise FaithfulError("the disk is full.")
        writer.finish()
        return True

    def finish(self, report: Reporter) -> bool:
        self.done.append("finish")
        missing, self.described = not self.described, True
        return missing

    def holds(self) -> str:
        return "there"

    def wrote(self) -> str:
        return f"{self.manifest.tokens()} tokens."


def run(job: Noise) -> CorpusResult:
    return run_job(job, silent)


def test_a_corpus_is_made_once_described_and_logged(tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    job = Noise(folder)
    made = run(job)
    assert (made.changed, made.note, made.manifest.tokens()) == (True, "20 tokens.", 20)
    assert job.done == ["settle", "write", "finish"]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["command"], line["tokens"]) for line in log] == [("noise", 20)]
    again = Noise(folder)
    first, second = run(again), run(again)
    assert (first.changed, first.note) == (True, "there; its description was completed.")
    assert (second.changed, second.note) == (False, "there: nothing to do.")
    assert again.done == ["finish", "finish"] and len((folder / "log.jsonl").read_text().splitlines()) == 1


def test_a_damaged_shard_and_a_larger_budget_are_work_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    files = {path.name: path.read_bytes() for path in (run(Noise(folder)).folder / "data").iterdir()}
    (folder / "data" / "part-00001.parquet").write_bytes(b"damaged")
    assert run(Noise(folder)).changed
    assert {path.name: path.read_bytes() for path in (folder / "data").iterdir()} == files
    assert run(Noise(folder, 30)).manifest.tokens() == 30
    assert [json.loads(line)["tokens"] for line in (folder / "log.jsonl").read_text().splitlines()] == [20, 10, 10]


@pytest.mark.parametrize("is_new", [True, False])
def test_an_error_leaves_nothing_of_a_corpus_that_was_empty(tmp_path: Path, is_new: bool) -> None:
    folder = tmp_path / "noise"
    if not is_new:
        folder.mkdir()
    with pytest.raises(FaithfulError, match="disk is full"):
        run(Noise(folder, fails=True))
    assert folder.exists() != is_new
    assert is_new or {path.name for path in folder.iterdir()} <= {".lock"}


def test_an_error_leaves_what_was_there_before(tmp_path: Path) -> None:
    folder = run(Noise(tmp_path / "noise")).folder
    with pytest.raises(FaithfulError, match="disk is full"):
        run(Noise(folder, 50, fails=True))
    assert Noise(folder).manifest.tokens() >= 20


def test_what_another_process_wrote_meanwhile_is_gone_on_with_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "noise"
    late, later, other = Noise(folder), Noise(folder, 30), Noise(folder, seed=1)
    run(Noise(folder))
    assert not run(late).note.startswith("20") and late.done == ["settle", "go on", "finish"]
    assert run(later).manifest.tokens() == 30 and later.done == ["settle", "go on", "settle", "write", "finish"]
    with pytest.raises(FaithfulError, match="seed 1 asked for, 0 in the corpus"):
        run(other)
    with folder_lock(folder), pytest.raises(FaithfulError, match="Another process"):
        run(Noise(folder, 50))


def test_only_a_corpus_of_a_run_makes_it_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Noise(Path("runs") / "tiny" / "corpora" / "noise")
    run(job)
    assert not Path("runs/current").exists()
    job.is_in_run = True
    run(job)
    assert Path("runs/current").read_text() == "tiny\n"
