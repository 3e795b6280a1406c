"""Running `generate` again: after a kill, after an engine change, beside another process, on another machine.

The engine is a stand-in that gives other rows each time, so that a row drawn twice is seen; the rest is real.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.cli.generate import _summary
from faithful.executor import where
from faithful.models.spec import ModelSpec
from faithful.store.corpus import Document, from_table, intact_shards, read_manifest, write_manifest
from generation.configs.generate import GenerateConfig
from generation.own import generate as generating
from generation.own import prepare
from generation.own.dry_run import dry_run
from generation.own.generate import generate
from generation.own.recovery import restore_last_shard
from generation.own.schedule import SplitSchedule
from generation.own.workers import Range
from generation.sampling.engine import Request, Sample
from generation.sampling.seeds import sample_seed
from generation.writing.job import CorpusResult
from generation.writing.shards import write_documents
from tests.generation.own.parts import draw_with

ROWS = 24

Folder = Callable[[str], Path]


class Killed(BaseException):
    """Ends a run on the spot, past every handler of errors."""


class Engine:
    """Takes the place of `draw_all`: rows of `version`, one to twelve tokens each, drawn shard after shard."""

    def __init__(self) -> None:
        self.version = 0
        self.asked: dict[str, set[int]] = {"train": set(), "test": set()}

    def row(self, request: Request) -> Sample:
        count = request.seed % 12 + 1
        ids = [(request.seed + self.version) % 97 + 3] * count
        return Sample(request.index, request.seed, ids, "length", [-1.0 - self.version] * count, None)

    def draw(self, work: Range) -> list[Sample]:
        self.asked[work.split].update(request.index for request in work.requests)
        return [self.row(request) for request in work.requests]

    def draw_all(self, schedules: list[SplitSchedule], spec: ModelSpec, *arguments: Any) -> None:
        draw_with(self.draw, schedules, spec, arguments[3])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The stand-in; descriptions, which need real text, are left out."""
    engine = Engine()
    monkeypatch.setattr(generating, "draw_all", engine.draw_all)
    monkeypatch.setattr(generating, "describe", lambda *_, **__: False)
    return engine


@pytest.fixture
def config(tmp_path: Path, family_folder: Folder) -> GenerateConfig:
    """A rolling corpus whose last shard is partial."""
    return GenerateConfig(
        model=str(family_folder("gpt2")), out=tmp_path / "own", tokens=500, held_out=100, seed=7, shard_rows=ROWS,
        max_tokens=31, deterministic=False, certify_tokens=0,
    )  # fmt: skip


def make(config: GenerateConfig, engine: Engine, version: int = 0) -> CorpusResult:
    """Run `generate` with an engine that now gives rows of `version`."""
    engine.version = version
    engine.asked = {"train": set(), "test": set()}
    return generate(config)


def rows(folder: Path, split: str = "train") -> list[Document]:
    shards = read_manifest(folder).shards[split]
    assert all(intact_shards(folder, shards))
    return [document for shard in shards for document in from_table(pq.read_table(folder / shard.file))]


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_before_the_second_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is written as work begins, the second after the first shard."""
    calls = []

    def write(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed
        write_manifest(*arguments)

    monkeypatch.setattr(generating, "write_manifest", write)


@pytest.mark.parametrize("tokens", [500, 900], ids=["as many tokens as before", "more tokens"])
def test_rows_survive_a_kill_between_a_longer_shard_and_its_checksum(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    folder = make(config, engine).folder
    before = rows(folder)
    assert len(before) % ROWS
    assert len(before) > ROWS
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_the_second_manifest(patch)
        make(replace(config, tokens=900), engine, version=1)
    last = read_manifest(folder).shards["train"][-1]
    assert pq.read_metadata(folder / last.file).num_rows > last.rows
    assert make(replace(config, tokens=tokens), engine, version=2).changed
    assert rows(folder)[: len(before)] == before
    assert not engine.asked["train"] & set(range(len(before)))
    assert sum(len(row.token_ids) for row in rows(folder)) >= tokens


def test_a_longer_shard_with_other_rows_is_not_taken_for_the_recorded_one(
    config: GenerateConfig, engine: Engine, family_folder: Folder
) -> None:
    folder = make(config, engine).folder
    manifest = read_manifest(folder)
    shards = manifest.shards["train"]
    last, number = shards[-1], len(shards) - 1
    path = folder / last.file
    documents = from_table(pq.read_table(path))
    longer = [*documents, replace(documents[0], index=last.first + last.rows)]
    spec = prepare.spec_of(manifest)
    tokenizer = generating.load_tokenizer(spec.source, None)
    write_documents(folder, "train", number, longer, spec, tokenizer)
    assert restore_last_shard(folder, "train", shards, spec.vocab_size)
    assert intact_shards(folder, shards) == [True] * len(shards)
    assert not restore_last_shard(folder, "train", shards, spec.vocab_size)

    other = replace(documents[0], token_ids=[5] * len(documents[0].token_ids))
    write_documents(folder, "train", number, [other, *longer[1:]], spec, tokenizer)
    for content in (path.read_bytes(), path.read_bytes()[:200], b""):
        path.write_bytes(content)
        assert not restore_last_shard(folder, "train", shards, spec.vocab_size)
        assert path.read_bytes() == content
    path.unlink()
    assert not restore_last_shard(folder, "train", shards, spec.vocab_size)


def on_an_older_engine(folder: Path) -> None:
    """Make a corpus look as if it was drawn by another version of torch."""
    manifest = read_manifest(folder)
    manifest.identity["engine"]["versions"]["torch"] = manifest.segments[0]["engine"]["versions"]["torch"] = "2.0.0"
    write_manifest(folder, manifest)


def test_repairs_after_an_engine_change_are_recorded_under_the_engine_that_made_them(
    config: GenerateConfig, engine: Engine
) -> None:
    folder = make(config, engine).folder
    before = rows(folder)
    on_an_older_engine(folder)
    first, second, *_, last = (folder / shard.file for shard in read_manifest(folder).shards["train"])
    second.write_bytes(b"broken")
    with pytest.raises(FaithfulError, match=r"2\.0\.0"):
        make(config, engine, version=1)
    accepted = replace(config, accept_engine_change=True)
    make(replace(accepted, tokens=900), engine, version=1)
    segments = read_manifest(folder).segments
    assert [segment["train"] for segment in segments] == [0, len(before)]
    assert segments[0].get("repaired") is None
    assert segments[1]["repaired"] == {"train": [[ROWS, 2 * ROWS]]}
    after = rows(folder)
    assert after[:ROWS] == before[:ROWS]
    assert all(row.logprob_p == [-2.0] * len(row.token_ids) for row in after[ROWS : 2 * ROWS])
    assert after[2 * ROWS : len(before)] == before[2 * ROWS :]
    assert all(row.logprob_p == [-2.0] * len(row.token_ids) for row in after[len(before) :])

    for broken in (first, second, last):
        broken.unlink()
        make(replace(config, tokens=900), engine, version=2)
    segments = read_manifest(folder).segments
    border = [len(before) // ROWS * ROWS, len(before)]
    assert segments[1]["repaired"] == {"train": [[ROWS, 2 * ROWS], [0, ROWS], border]}
    assert len(segments) == 2


def test_accepting_a_change_opens_one_segment_and_only_where_something_was_drawn(
    config: GenerateConfig, engine: Engine
) -> None:
    accepted = replace(config, accept_engine_change=True)
    folder = make(accepted, engine).folder
    assert len(read_manifest(folder).segments) == 1
    count = len(rows(folder))
    for tokens in (700, 900, 1100):
        make(replace(accepted, tokens=tokens), engine)
    assert [segment["train"] for segment in read_manifest(folder).segments] == [0, count]


def test_kept_rows_of_a_drained_shard_stay_after_an_engine_change(config: GenerateConfig, engine: Engine) -> None:
    drained = replace(config, deterministic=True)
    folder = make(drained, engine).folder
    before = rows(folder)
    on_an_older_engine(folder)
    make(replace(drained, tokens=900, accept_engine_change=True), engine, version=1)
    assert rows(folder)[: len(before)] == before


def overtaken(monkeypatch: pytest.MonkeyPatch, other: Callable[[], Any]) -> None:
    """The next run is prepared before another one, and gets the lock after it."""
    real = prepare.prepare

    def prepare_first(mine: GenerateConfig, part: Any = None) -> Any:
        prepared = real(mine)
        monkeypatch.setattr(generating, "prepare", real)
        other()
        return prepared

    monkeypatch.setattr(generating, "prepare", prepare_first)


def test_another_first_run_that_was_quicker_is_compared_under_the_lock(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch, family_folder: Folder
) -> None:
    """Both find an empty folder; the other one has the lock first and is done when this one gets it."""
    overtaken(monkeypatch, lambda: generate(config))
    with pytest.raises(FaithfulError, match=r"temperature 0\.7 asked for, 1\.0 in the corpus"):
        generate(replace(config, temperature=0.7))
    assert config.out is not None
    before = files(config.out)
    assert read_manifest(config.out).identity["sampling"]["temperature"] == 1.0

    overtaken(monkeypatch, lambda: generate(config))
    with pytest.raises(FaithfulError, match="tiny-llama asked for"):
        generate(replace(config, model=str(family_folder("llama"))))
    assert files(config.out) == before


def test_what_another_first_run_chose_is_taken_over(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(monkeypatch, lambda: generate(config))
    result = generate(GenerateConfig(model=config.model, out=config.out, tokens=900, certify_tokens=0))
    assert result.manifest.identity["seed"] == 7
    assert result.manifest.tokens() >= 900
    assert [row.seed for row in rows(result.folder)[:3]] == [sample_seed(7, "train", index) for index in range(3)]


def test_a_device_that_is_stated_is_compared(config: GenerateConfig, engine: Engine) -> None:
    folder = make(config, engine).folder
    before = files(folder)
    with pytest.raises(FaithfulError, match="device cuda asked for, cpu in the corpus"):
        generate(replace(config, device="cuda"))
    assert files(folder) == before
    assert not generate(replace(config, device="cpu")).changed
    assert not generate(replace(config, device="cuda", accept_engine_change=True)).changed


def test_more_workers_than_gpus_are_refused(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaithfulError, match="sees no GPU"):
        generate(replace(config, device="cuda", engine="transformers"))
    monkeypatch.setattr(where, "default_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(FaithfulError, match=r"--workers 3 .* use at most --workers 2"):
        generate(replace(config, device="cuda", engine="transformers", workers=3))
    assert config.out is not None
    assert not config.out.exists()
    assert generate(replace(config, device="cuda", engine="transformers", workers=2)).changed


def test_a_log_that_cannot_be_written_does_not_spoil_the_corpus(config: GenerateConfig, engine: Engine) -> None:
    folder = make(config, engine).folder
    log = folder / "log.jsonl"
    log.unlink()
    log.symlink_to("/dev/full")
    grown = make(replace(config, tokens=900), engine)
    assert grown.changed
    assert grown.manifest.tokens() >= 900
    assert not make(replace(config, tokens=900), engine).changed


def test_a_disk_that_cannot_be_asked_is_a_sentence(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(generating.shutil, "disk_usage", refuse)
    with pytest.raises(FaithfulError, match="Input/output error"):
        make(config, engine)


def test_a_whole_shard_that_cannot_be_parsed_is_a_sentence(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(config, engine)

    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(generating.pq, "read_table", refuse)
    with pytest.raises(FaithfulError, match=r"part-\d+\.parquet.*Input/output error"):
        make(replace(config, tokens=900), engine)


def test_the_budget_recorded_is_the_largest_that_was_reached(config: GenerateConfig, engine: Engine) -> None:
    """The card's command is made from it."""
    folder = make(replace(config, tokens=900), engine).folder
    first = folder / read_manifest(folder).shards["train"][0].file
    first.unlink()
    make(replace(config, tokens=500), engine)
    assert read_manifest(folder).requested["train"] == 900
    assert sum(len(row.token_ids) for row in rows(folder)) >= 900


def out_of_memory(*_: Any) -> None:
    raise FaithfulError("The GPU ran out of memory; use a smaller --batch or --max-tokens.")


def test_a_run_that_drew_nothing_is_started_anew_with_what_is_asked_for_now(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(FaithfulError, match="smaller --batch"):
        patch.setattr(generating, "draw_all", out_of_memory)
        make(replace(config, batch=64), engine)
    assert config.out is not None
    before = read_manifest(config.out)
    assert (before.segments[0]["engine"]["slots"], before.tokens()) == (64, 0)
    with folder_lock(config.out), pytest.raises(FaithfulError, match="Another process"):
        make(replace(config, batch=8), engine)
    assert read_manifest(config.out) == before
    made = make(replace(config, batch=8, max_tokens=15, dtype="bfloat16"), engine).manifest
    assert [segment["engine"]["slots"] for segment in made.segments] == [8]
    assert (made.identity["sampling"]["max_tokens"], made.identity["model"]["dtype"]) == (15, "bfloat16")
    assert made.identity["engine"] == made.segments[0]["engine"]
    assert made.tokens() >= 500
    with pytest.raises(FaithfulError, match="max tokens 31 asked for, 15 in the corpus"):
        make(config, engine)


def test_a_first_run_that_drew_nothing_meanwhile_is_no_obstacle(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one has written its manifest and failed when this one gets the lock."""

    def fail() -> None:
        with monkeypatch.context() as patch, pytest.raises(FaithfulError, match="memory"):
            patch.setattr(generating, "draw_all", out_of_memory)
            generate(config)

    overtaken(monkeypatch, fail)
    assert make(replace(config, temperature=0.7), engine).manifest.identity["sampling"]["temperature"] == 0.7


def test_a_smaller_batch_is_a_change_of_engine_that_can_be_accepted(config: GenerateConfig, engine: Engine) -> None:
    folder = make(replace(config, batch=64), engine).folder
    count = len(rows(folder))
    grown = replace(config, tokens=900, batch=8)
    with pytest.raises(FaithfulError, match=r"batch 8 asked for, 64 in the corpus.*--accept-engine-change"):
        make(grown, engine)
    with pytest.raises(FaithfulError, match="seed 8 asked for") as caught:
        make(replace(grown, seed=8), engine)
    assert "--accept-engine-change" not in str(caught.value)
    with pytest.raises(FaithfulError, match="--batch"):
        make(replace(grown, batch=0, accept_engine_change=True), engine)
    make(replace(grown, accept_engine_change=True), engine)
    assert [segment["engine"]["slots"] for segment in read_manifest(folder).segments] == [64, 8]
    assert dry_run(replace(config, tokens=1500)).concurrency == 8
    more = len(rows(folder))
    make(replace(grown, tokens=1100, batch=4, accept_engine_change=True), engine)
    segments = read_manifest(folder).segments
    assert [(segment["train"], segment["engine"]["slots"]) for segment in segments] == [(0, 64), (count, 8), (more, 4)]
    assert not make(replace(grown, batch=4), engine).changed


def test_a_dry_run_of_growth_refuses_another_engine(config: GenerateConfig, engine: Engine) -> None:
    on_an_older_engine(make(config, engine).folder)
    assert dry_run(config).existing_tokens >= 500
    with pytest.raises(FaithfulError, match=r"2\.0\.0"):
        dry_run(replace(config, tokens=900))


def test_a_named_revision_can_be_asked_for_again(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, its commit and the beginning of that; a manifest from before names were kept knows the commit."""
    sha, real = "0123456789" * 4, prepare.resolve_model
    monkeypatch.setattr(
        prepare, "resolve_model", lambda model, *, revision, **rest: replace(real(model, **rest), revision=sha)
    )
    folder = make(replace(config, revision="step3000"), engine).folder
    for revision in ("step3000", sha, sha[:7], sha[:12], None):
        assert not make(replace(config, revision=revision), engine).changed
    for revision in ("step4000", sha[:6], sha[1:9], "main", "0123456f"):
        with pytest.raises(FaithfulError, match=f"revision {revision} asked for, {sha} in the corpus"):
            make(replace(config, revision=revision), engine)
    assert make(replace(config, revision="step3000", tokens=900), engine).changed
    manifest = read_manifest(folder)
    del manifest.provenance["revision_asked"]
    write_manifest(folder, manifest)
    assert not make(replace(config, revision=sha[:7]), engine).changed
    with pytest.raises(FaithfulError, match="revision step3000"):
        make(replace(config, revision="step3000"), engine)


def test_fewer_tokens_leave_the_held_out_part_of_a_larger_corpus_as_the_rule_has_it(
    config: GenerateConfig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run is killed after its training tokens; the second asks for fewer than there are, the third for more."""
    monkeypatch.setattr("generation.writing.splits.HELD_OUT_LEAST", 20)
    by_rule = replace(config, held_out=None)

    def write(folder: Path, manifest: Any) -> None:
        if manifest.shards["test"]:
            raise Killed
        write_manifest(folder, manifest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(generating, "write_manifest", write)
        make(replace(by_rule, tokens=4000), engine)
    folder = make(replace(by_rule, tokens=400), engine).folder
    manifest = read_manifest(folder)
    assert manifest.requested == {"train": 4000, "test": 200}
    assert manifest.tokens("test") >= 200
    make(replace(by_rule, tokens=6000), engine)
    direct = make(replace(by_rule, tokens=6000, out=folder.parent / "direct"), engine).folder
    assert [rows(folder, split) == rows(direct, split) for split in ("train", "test")] == [True, True]


def test_a_corpus_without_randomness_is_not_sent_to_be_certified(
    config: GenerateConfig, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    _summary(make(replace(config, top_k=1, greedy=True), engine).folder)
    said = capsys.readouterr().err
    assert "nothing to certify" in said
    assert "corpus certify" not in said
