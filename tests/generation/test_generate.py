"""The real command, in real processes: what it promises about bytes, restarts, growth and refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from faithful.cli import app
from faithful.corpus import Corpus, read_manifest
from faithful.errors import FaithfulError
from generation.generate import generate
from generation.prepare import GenerateConfig
from generation.seeds import sample_seed
from tests.families import build_nan, build_without_bos

Folder = Callable[[str], Path]
SMALL = [
    "--shard-rows",
    "24",
    "--batch",
    "8",
    "--max-tokens",
    "31",
    "--certify-tokens",
    "0",
    "--seed",
    "7",
    "--held-out",
    "300",
]


def command(model: Path, out: Path, tokens: int = 1500, *more: str) -> list[str]:
    head = [sys.executable, "-m", "faithful", "generate", "--model", str(model), "--out", str(out)]
    return [*head, "--tokens", str(tokens), *SMALL, "--workers", "1", *more]


def run(arguments: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240, check=False, **kwargs)  # type: ignore[call-overload, no-any-return]


def ask(arguments: list[str]) -> Result:
    """The command in this process: for what ends before an engine starts."""
    return CliRunner().invoke(app, arguments[3:])


def data_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for split in ("data", "test")
        for path in sorted((folder / split).glob("*"))
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, family_folder: Folder) -> Path:
    """A corpus of 1,500 tokens made at once by one worker; never change it: copy it first."""
    out = tmp_path_factory.mktemp("corpus") / "own"
    done = run(command(family_folder("gpt2"), out))
    assert done.returncode == 0, done.stderr
    return out


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
    assert len(refused.stderr.strip().splitlines()) == 1
    after = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in corpus.rglob("*")}
    assert after == before


KILLER = """
import os, signal, sys
from pathlib import Path

replace, fsync, left = Path.replace, os.fsync, 0

def point():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def killing_replace(self, target):
    point()
    result = replace(self, target)
    point()
    return result

def killing_fsync(descriptor):
    point()
    fsync(descriptor)

if __name__ == "__main__":
    left = int(sys.argv.pop(1))
    Path.replace, os.fsync = killing_replace, killing_fsync
    from faithful.cli import main
    main()
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_every_commit_point_then_rerun(tmp_path: Path, family_folder: Folder) -> None:
    """One run after the other is killed one point later than the last; what remains must equal the whole."""
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER)
    out, whole = tmp_path / "own", tmp_path / "whole"
    arguments = command(family_folder("gpt2"), out, 500, "--held-out", "100")
    assert run(command(family_folder("gpt2"), whole, 500, "--held-out", "100")).returncode == 0
    deaths = 0
    for point in range(1, 40):
        done = run([sys.executable, str(killer), str(point), *arguments[3:]])
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        deaths += 1
    assert deaths >= 9
    assert data_bytes(out) == data_bytes(whole)
    assert not list(out.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_instants_then_rerun(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    out = tmp_path / "own"
    arguments = command(family_folder("gpt2"), out)
    for seconds in (2.0, 4.5, 6.0, 7.5):
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(arguments).returncode == 0
    assert data_bytes(out) == data_bytes(corpus)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_is_clean_and_resumable(tmp_path: Path, family_folder: Folder) -> None:
    out = tmp_path / "own"
    arguments = command(family_folder("gpt2"), out, 60_000)
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "data").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("Stopped.")
    assert "Traceback" not in errors
    assert read_manifest(out).tokens() < 60_000


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dead_worker_is_replaced_and_its_range_done_by_another(
    corpus: Path, tmp_path: Path, family_folder: Folder
) -> None:
    out = tmp_path / "own"
    process = subprocess.Popen(command(family_folder("gpt2"), out), stderr=subprocess.PIPE, text=True)
    victim = None
    while victim is None and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        victim = next((c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()), None)
        time.sleep(0.05)
    assert victim is not None
    while not (out / "data" / "part-00000.parquet").exists() and process.poll() is None:
        time.sleep(0.02)
    os.kill(int(victim), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert data_bytes(out) == data_bytes(corpus)


def test_two_processes_never_write_one_folder(tmp_path: Path, family_folder: Folder) -> None:
    from faithful.files import folder_lock

    out = tmp_path / "own"
    with folder_lock(out):
        refused = ask(command(family_folder("gpt2"), out))
    assert refused.exit_code == 2
    assert f"pid {os.getpid()}" in refused.stderr
    assert not (out / "corpus.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_is_one_sentence_and_resumable(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    """A file-size limit makes the writes of shards fail half-way, as a full disk does."""
    out = tmp_path / "own"
    arguments = command(family_folder("gpt2"), out)
    limited = run(["bash", "-c", 'trap "" XFSZ; ulimit -f 4; exec "$@"', "bash", *arguments])
    assert limited.returncode == 2
    assert "Cannot write" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert not list(out.rglob("*.tmp"))
    assert run(arguments).returncode == 0
    assert data_bytes(out) == data_bytes(corpus)


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
    from faithful.corpus import write_manifest

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
