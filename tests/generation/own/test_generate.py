"""The real command, in real processes: what it promises about bytes, restarts, growth and refusals."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from faithful.base.errors import FaithfulError
from faithful.base.terminal import plain
from faithful.store.corpus import Corpus, read_manifest
from generation.cards.parts import sample_texts
from generation.configs.generate import GenerateConfig
from generation.own.generate import generate
from generation.sampling.seeds import sample_seed
from tests.command import ask, command, data_bytes, run
from tests.families import build_nan, build_without_bos

Folder = Callable[[str], Path]


def test_a_corpus_is_the_shortest_prefix_with_the_tokens(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    lengths = [len(document) for document in Corpus(corpus).documents("train")]
    assert sum(lengths) >= 1500 > sum(lengths[:-1])
    assert manifest.tokens() == sum(lengths)
    assert len(manifest.shards["train"]) >= 3
    held_out = [len(document) for document in Corpus(corpus).documents("test")]
    assert sum(held_out) >= 300 > sum(held_out[:-1])


def test_rows_say_what_they_are(corpus: Path) -> None:
    eos = set(read_manifest(corpus).identity["model"]["eos_ids"])
    for split, domain in (("train", "train"), ("test", "eval")):
        rows = [
            row
            for shard in read_manifest(corpus).shards[split]
            for row in pq.read_table(corpus / shard.file).to_pylist()
        ]
        for place, row in enumerate(rows):
            assert row["index"] == place
            assert row["seed"] == sample_seed(7, domain, place)
            assert row["n_tokens"] == len(row["token_ids"]) == len(row["logprob_p"])
            assert row["logprob_q"] is None
            assert (row["finish_reason"] == "stop") == (row["token_ids"][-1] in eos)
            assert row["source"] is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_workers_give_the_same_bytes(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    out = tmp_path / "own"
    arguments = command(family_folder("gpt2"), out)
    arguments[arguments.index("--workers") + 1] = "3"
    assert run(arguments).returncode == 0
    assert data_bytes(out) == data_bytes(corpus)
    assert (out / "corpus.json").read_bytes() == (corpus / "corpus.json").read_bytes()


@pytest.mark.slow
def test_grown_equals_direct_and_fewer_is_a_no_op(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    model, out = family_folder("gpt2"), tmp_path / "own"
    assert run(command(model, out, 700)).returncode == 0
    small = data_bytes(out)
    assert run(command(model, out, 1500)).returncode == 0
    assert data_bytes(out) == data_bytes(corpus)
    assert len(small) < len(data_bytes(out))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = ask(command(model, out, 700))
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_same_command_does_nothing_and_says_so(corpus: Path, family_folder: Folder) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    again = ask(command(family_folder("gpt2"), corpus))
    assert again.exit_code == 0
    assert "nothing to do" in again.stderr
    assert all(title in again.stdout for title in ("Samples", "Sampling", "Statistics"))
    assert plain(sample_texts(Corpus(corpus), 1)[0][:20]) in again.stdout
    assert f"Card: {corpus / 'README.md'}" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_what_is_left_out_comes_from_the_manifest(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "own"
    shutil.copytree(corpus, out)
    bare = ask([sys.executable, "-m", "faithful", "generate", "--out", str(out), "--certify-tokens", "0"])
    assert bare.exit_code == 0, bare.stderr
    assert "nothing to do" in bare.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--temperature", "0.7"], "temperature 0.7 asked for, 1.0 in the corpus"),
        (["--seed", "8"], "seed 8"),
        (["--dtype", "bfloat16"], "dtype bfloat16"),
        (["--batch", "9"], "batch 9"),
        (["--device", "cuda"], "device cuda asked for, cpu in the corpus"),
        (["--model", "gpt2"], "model gpt2"),
    ],
)
def test_other_settings_are_refused_by_name_and_touch_nothing(
    corpus: Path, family_folder: Folder, flags: list[str], named: str
) -> None:
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in corpus.rglob("*")}
    refused = ask([*command(family_folder("gpt2"), corpus), *flags])
    assert refused.exit_code == 2
    assert named in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 2, "what it began with, and the sentence"
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in corpus.rglob("*")}
    assert after == before


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_a_damaged_shard_is_found_and_made_again(
    corpus: Path, tmp_path: Path, family_folder: Folder, damage: str
) -> None:
    out = tmp_path / "own"
    shutil.copytree(corpus, out)
    victim = out / "data" / "part-00001.parquet"
    content = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "edited":
        victim.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    else:
        victim.unlink()
    done = run(command(family_folder("gpt2"), out))
    assert done.returncode == 0, done.stderr
    assert data_bytes(out) == data_bytes(corpus)


def test_two_processes_never_write_one_folder(tmp_path: Path, family_folder: Folder) -> None:
    from faithful.base.files import folder_lock

    out = tmp_path / "own"
    with folder_lock(out):
        refused = ask(command(family_folder("gpt2"), out))
    assert refused.exit_code == 2
    assert f"pid {os.getpid()}" in refused.stderr
    assert not (out / "corpus.json").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, family_folder: Folder) -> None:
    (tmp_path / "file").write_text("")
    refused = ask(command(family_folder("gpt2"), tmp_path / "file" / "own"))
    assert refused.exit_code == 2
    assert "Traceback" not in refused.stderr


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path, family_folder: Folder) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refused = ask(command(family_folder("gpt2"), tmp_path))
    assert refused.exit_code == 2
    assert "not empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nan_weights_end_with_a_sentence(tmp_path: Path) -> None:
    broken = run(command(build_nan(tmp_path / "model"), tmp_path / "own"))
    assert broken.returncode == 2
    assert "NaN" in broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_without_bos_is_refused_unless_one_is_given(tmp_path: Path) -> None:
    model = build_without_bos(tmp_path / "model")
    refused = ask(command(model, tmp_path / "own"))
    assert refused.exit_code == 2
    assert "--bos" in refused.stderr
    streams = run([*command(model, tmp_path / "own"), "--bos", "3", "--mode", "streams"])
    assert streams.returncode == 0, streams.stderr
    assert read_manifest(tmp_path / "own").identity["model"]["bos_id"] == 3


def test_greedy_is_refused_unless_asked_for(tmp_path: Path, family_folder: Folder) -> None:
    refused = ask([*command(family_folder("gpt2"), tmp_path / "own"), "--temperature", "0"])
    assert refused.exit_code == 2
    assert "--greedy" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_another_engine_version_is_refused_then_accepted(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    from faithful.store.corpus import write_manifest

    out = tmp_path / "own"
    shutil.copytree(corpus, out)
    manifest = read_manifest(out)
    manifest.identity["engine"]["versions"]["torch"] = manifest.segments[0]["engine"]["versions"]["torch"] = "2.0.0"
    write_manifest(out, manifest)
    old = data_bytes(out)
    refused = ask(command(family_folder("gpt2"), out, 2500))
    assert refused.exit_code == 2
    assert "2.0.0" in refused.stderr
    assert data_bytes(out) == old
    accepted = run([*command(family_folder("gpt2"), out, 2500), "--accept-engine-change"])
    assert accepted.returncode == 0, accepted.stderr
    grown = read_manifest(out)
    assert len(grown.segments) == 2
    assert grown.tokens() >= 2500
    first = pq.read_table(out / "data" / "part-00000.parquet")
    assert first.equals(pq.read_table(corpus / "data" / "part-00000.parquet"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_function_and_the_command_are_one(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    result = generate(
        GenerateConfig(
            model=str(family_folder("gpt2")), out=tmp_path / "own", tokens=1500, seed=7, shard_rows=24, batch=8,
            max_tokens=31, certify_tokens=0, workers=1, held_out=300,
        )
    )  # fmt: skip
    assert result.changed
    assert data_bytes(tmp_path / "own") == data_bytes(corpus)
    with pytest.raises(FaithfulError, match="temperature"):
        generate(GenerateConfig(out=tmp_path / "own", temperature=0.5))


def test_json_is_one_object(corpus: Path, family_folder: Folder) -> None:
    done = ask([*command(family_folder("gpt2"), corpus), "--json"])
    answer = json.loads(done.stdout)
    assert answer["changed"] is False
    assert answer["tokens"]["train"] >= 1500
