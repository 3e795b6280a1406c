"""Kills, full disks and crowds: whatever happens to the real command, running it again ends with the same bytes."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faithful.store.corpus import read_manifest
from tests.command import command, data_bytes, lasting_bytes, run, unequal
from tests.unprivileged import unprivileged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Folder = Callable[[str], Path]

KILLS = 12
NONCE = re.compile(r"\.[0-9a-f]{12}(?=\.tmp)")
LAUNCHER = """
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
    import matplotlib.figure, transformers.models.gpt2.modeling_gpt2
    import generation.cards.describe, generation.own.generate, generation.sampling.transformers_engine
    import multiprocessing
    forking = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: forking
    from faithful.__main__ import main
    for line in sys.stdin:
        folder, points = line.rstrip().rsplit(" ", 1)
        pid = os.fork()
        if pid == 0:
            left = int(points)
            Path.replace, os.fsync = killing_replace, killing_fsync
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv += ["--out", folder]
            main()
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Launcher:
    """Runs the command again and again without importing everything each time: forks a process that has it all, and so do
    its workers.

    A process's own processor time is the clock: it stands still while workers work, and the machine's load does not
    bend it. The coordinator is the only writer, so an instant of its work is an instant that matters.
    """

    def __init__(self, script: Path, arguments: list[str]) -> None:
        script.write_text(LAUNCHER)
        self.errors = script.with_suffix(".txt")
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(script), *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def run(self, folder: Path, until: float = float("inf"), point: int = 0) -> tuple[int, float]:
        """Exit code of a run into `folder`, killed after `until` seconds or before its `point`-th step of a commit, and the
        seconds until there was a card."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{folder} {point}\n")
        self.process.stdin.flush()
        pid, used, carded = int(self.process.stdout.readline()), 0.0, 0.0
        while used < until:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                break
            used = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
            carded = carded if (folder / "README.md").exists() else used
            time.sleep(0.005)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self.process.stdout.readline()), carded

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_killed_at_every_commit_point_then_rerun(tmp_path: Path, family_folder: Folder) -> None:
    """A run is killed at each of its points, and run again; what is there then must equal the whole.

    Points that leave the same files (a step of a commit may only wait for the disk) are gone on from once.
    """
    whole, point, code = tmp_path / "whole" / "own", 0, -signal.SIGKILL
    seen: set[frozenset[tuple[str, bytes]]] = set()
    arguments = command(family_folder("gpt2"), tmp_path, 500, "--held-out", "100", "--certify-tokens", "300")[3:]
    with Launcher(tmp_path / "launcher.py", arguments) as launcher:
        assert launcher.run(whole)[0] == 0, launcher.errors.read_text()
        while code == -signal.SIGKILL:
            point += 1
            out = tmp_path / f"at-{point}" / "own"
            code, _ = launcher.run(out, point=point)
            assert code in (0, -signal.SIGKILL), launcher.errors.read_text()
            left = frozenset((NONCE.sub("", name), content) for name, content in lasting_bytes(out).items())
            if left not in seen:
                assert launcher.run(out)[0] == 0, launcher.errors.read_text()
                assert unequal(lasting_bytes(out), lasting_bytes(whole)) == [], point
            seen.add(left)
            shutil.rmtree(out.parent)
    assert point >= 20
    assert len(seen) >= 10


def test_killed_at_random_instants_then_rerun(tmp_path: Path, family_folder: Folder) -> None:
    """Instants from every part of a whole run, in random order, from its start to its card; once a folder has all that
    it shall have, the next run begins with nothing."""
    arguments = command(family_folder("gpt2"), tmp_path, 5000, "--certify-tokens", "1000")[3:]
    with Launcher(tmp_path / "launcher.py", arguments) as launcher:
        code, duration = launcher.run(tmp_path / "whole" / "own")
        assert code == 0, launcher.errors.read_text()
        expected = lasting_bytes(tmp_path / "whole" / "own")
        assert {"corpus.json", "README.md", "pit.png", "data/part-00000.parquet"} <= set(expected)

        draw = random.Random(12)
        instants = [duration * (part + draw.random()) / KILLS for part in range(KILLS)]
        draw.shuffle(instants)
        deaths, whole = 0, 0
        for instant in [*instants, float("inf")]:
            out = tmp_path / f"after-{whole}" / "own"
            code, _ = launcher.run(out, instant)
            assert code in (0, -signal.SIGKILL), launcher.errors.read_text()
            left = unequal(lasting_bytes(out), expected)
            done = not left
            assert done or code != 0, left
            deaths += code != 0 and not done
            whole += done
    assert deaths >= KILLS // 3
    assert whole >= 1


def _listen() -> None:
    """Take Ctrl-C as at a terminal: what runs in the background of a shell script ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_is_clean_and_resumable(tmp_path: Path, family_folder: Folder) -> None:
    out, whole = tmp_path / "own", tmp_path / "whole" / "own"
    arguments = command(family_folder("gpt2"), out, 15_000)
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=_listen
    )
    while process.poll() is None and not (out / "data").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("Stopped.")
    assert "Traceback" not in errors
    assert read_manifest(out).tokens() < 15_000
    for folder in (out, whole):
        done = run(command(family_folder("gpt2"), folder, 15_000))
        assert done.returncode == 0, done.stderr
    assert lasting_bytes(out) == lasting_bytes(whole)


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


def test_of_two_that_start_together_one_writes(corpus: Path, tmp_path: Path, family_folder: Folder) -> None:
    out = tmp_path / "own"
    arguments = command(family_folder("gpt2"), out)
    pair = [subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=500)[1] for process in pair]
    codes = [process.returncode for process in pair]
    assert 0 in codes, said
    assert sum("samples and" in text for text in said) == 1, said
    for process, text in zip(pair, said, strict=True):
        if process.returncode != 0:
            other = next(p for p in pair if p is not process)
            assert process.returncode == 2
            assert f"Another process (pid {other.pid})" in text or "pid unknown" in text
            assert "Traceback" not in text
    assert lasting_bytes(out) == lasting_bytes(corpus)


def test_a_corpus_that_cannot_be_written_can_be_looked_at_but_not_grown(
    corpus: Path, tmp_path: Path, family_folder: Folder
) -> None:
    out = tmp_path / "own"
    shutil.copytree(corpus, out)
    before = lasting_bytes(out)
    folders = [out, out / "data", out / "test"]
    for folder in folders:
        folder.chmod(0o500)
    try:
        same = run(unprivileged(command(family_folder("gpt2"), out)))
        more = run(unprivileged(command(family_folder("gpt2"), out, 3000)))
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert same.returncode == 0, same.stderr
    assert "nothing to do" in same.stderr
    assert more.returncode == 2
    assert len(lines := more.stderr.strip().splitlines()) == 2, "what it began with, and the sentence"
    assert lines[1].startswith("Error: Cannot write")
    assert lasting_bytes(out) == before
