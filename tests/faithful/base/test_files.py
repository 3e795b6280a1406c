"""Writes that are whole or absent, and a lock that ends with its holder."""

import contextlib
import errno
import io
import json
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import (
    allow_files,
    append_line,
    drop_links,
    folder_lock,
    locked_together,
    refuse_local_locks,
    remove_temporaries,
    sha256_file,
    write_atomically,
    write_json,
    write_tensors,
    write_text,
)
from faithful.base.records import turn
from tests.unprivileged import unprivileged

HOLDER = """
import sys, time
from pathlib import Path
from faithful.base.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

WRITER = """
import sys
from pathlib import Path
from faithful.base.errors import FaithfulError
from faithful.base.files import append_line, folder_lock, remove_temporaries, write_text
folder = Path(sys.argv[1])
for write in (
    lambda: write_text(folder / "a.txt", "x"),
    lambda: append_line(folder / "log.jsonl", {}),
    lambda: remove_temporaries(folder),
    lambda: folder_lock(folder).__enter__(),
):
    try:
        write()
    except FaithfulError as error:
        print(error)
"""

FULL = """
import resource, signal, sys
from pathlib import Path
from faithful.base.errors import FaithfulError
from faithful.base.files import append_line, folder_lock
log, folder = Path(sys.argv[1]), Path(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 5, resource.RLIM_INFINITY))
try:
    append_line(log, {"a": "longer than what is free"})
except FaithfulError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    folder_lock(folder).__enter__()
except FaithfulError as error:
    print(error)
"""

INSIDE_A_LIBRARY = """
import resource, sys
from pathlib import Path
from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically, write_tensors
what, path = sys.argv[1], Path(sys.argv[2]) / "whole"
if what in ("torch", "safetensors"):
    import torch, safetensors.torch
    x = torch.arange(100_000)
    write = lambda: write_atomically(path, lambda temporary: safetensors.torch.save_file({"x": x}, temporary))
    write = write if what == "safetensors" else lambda: write_tensors(path, {"x": x})
elif what == "polars":
    import polars
    table = polars.DataFrame({"x": range(100_000)})
    write = lambda: write_atomically(path, lambda temporary: table.write_parquet(temporary))
elif what == "pyarrow":
    import pyarrow, pyarrow.parquet
    table = pyarrow.table({"x": range(100_000)})
    write = lambda: write_atomically(path, lambda temporary: pyarrow.parquet.write_table(table, temporary))
else:
    from matplotlib.figure import Figure
    write = lambda: write_atomically(path, lambda temporary: Figure((40, 40)).savefig(temporary, format="png"))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
try:
    write()
except FaithfulError as error:
    print(error)
"""


def half_then_fail(error: BaseException) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    return write


def test_text_and_json_are_written_as_they_are(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "a.txt", "naïve ✓\n")
    assert (tmp_path / "deep" / "er" / "a.txt").read_bytes() == "naïve ✓\n".encode()
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "ä": "ö"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, 2.5, None], "ä": "ö"}
    assert "ä" in text
    assert text.endswith("}\n")


def test_json_refuses_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(FaithfulError, match="No space left") as caught:
        write_atomically(path, half_then_fail(OSError(28, "No space left on device")))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_any_other_failure_passes_through_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(type(error)):
        write_atomically(path, half_then_fail(error))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_content_is_on_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Order of the system calls: fsync of the file, rename, fsync of the folder."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append(f"rename {self.name} {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_text(tmp_path / "a.txt", "x")
    assert len(steps) == 3
    made = re.fullmatch(r"rename (\.a\.txt\.[0-9a-f]{12}\.tmp) a\.txt", steps[1])
    assert made
    assert (steps[0], steps[2]) == (f"fsync {made[1]}", f"fsync {tmp_path.name}")


def test_a_path_below_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FaithfulError, match="Cannot write"):
        write_text(tmp_path / "file" / "deeper" / "a.txt", "x")
    with pytest.raises(FaithfulError, match="Cannot write"), folder_lock(tmp_path / "file" / "deeper"):
        pass


def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "log.jsonl").chmod(0o400)
    (tmp_path / ".a.txt.tmp").write_text("half")
    tmp_path.chmod(0o500)
    try:
        done = subprocess.run(
            unprivileged([sys.executable, "-c", WRITER, str(tmp_path)]), capture_output=True, text=True, check=False
        )
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 4
    assert all(line.startswith("Cannot write") and "Permission denied" in line for line in said), said


def test_a_refused_open_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a read-only file system answers, also to root."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(FaithfulError, match="Read-only file system"):
        write_text(tmp_path / "a.txt", "x")
    with pytest.raises(FaithfulError, match="Read-only file system"), folder_lock(tmp_path):
        pass


class TestLinks:
    """What somebody planted in a folder changes nothing outside of it."""

    @pytest.fixture
    def victim(self, tmp_path: Path) -> Path:
        path = tmp_path / "elsewhere" / "key"
        path.parent.mkdir()
        path.write_text("secret")
        return path

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        path = tmp_path / "folder"
        path.mkdir()
        return path

    def test_a_link_in_place_of_the_lock_or_of_a_log_is_refused(self, victim: Path, folder: Path) -> None:
        (folder / ".lock").symlink_to(victim)
        (folder / "log.jsonl").symlink_to(victim)
        with pytest.raises(FaithfulError, match=r"symbolic link"), folder_lock(folder):
            pass
        with pytest.raises(FaithfulError, match=r"log\.jsonl: it is a symbolic link"):
            append_line(folder / "log.jsonl", {"a": 1})
        assert victim.read_text() == "secret"

    def test_neither_is_a_dangling_link_followed_nor_a_link_to_a_link(self, tmp_path: Path, folder: Path) -> None:
        (folder / ".lock").symlink_to(tmp_path / "not-there")
        (folder / "hop").symlink_to(tmp_path / "neither")
        (folder / "log.jsonl").symlink_to(folder / "hop")
        with pytest.raises(FaithfulError, match="symbolic link"), folder_lock(folder):
            pass
        with pytest.raises(FaithfulError, match="symbolic link"):
            append_line(folder / "log.jsonl", {"a": 1})
        assert not (tmp_path / "not-there").exists()
        assert not (tmp_path / "neither").exists()

    def test_hard_links_are_no_way_round(self, victim: Path, folder: Path) -> None:
        for name in (".lock", "log.jsonl"):
            (folder / name).hardlink_to(victim)
        with pytest.raises(FaithfulError, match="hard link"), folder_lock(folder):
            pass
        with pytest.raises(FaithfulError, match="hard link"):
            append_line(folder / "log.jsonl", {"a": 1})
        assert victim.read_text() == "secret"

    def test_a_planted_temporary_file_is_not_written_to(
        self, victim: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither one of the name that was used before, nor one whose name somebody foresaw."""
        (folder / ".report.html.tmp").symlink_to(victim)
        write_text(folder / "report.html", "report")
        assert victim.read_text() == "secret"
        monkeypatch.setattr(secrets, "token_hex", lambda _: "0123456789ab")
        (folder / ".a.txt.0123456789ab.tmp").symlink_to(victim)
        with pytest.raises(FaithfulError, match="File exists"):
            write_text(folder / "a.txt", "x")
        assert victim.read_text() == "secret"

    def test_a_link_in_place_of_the_file_is_replaced(self, victim: Path, folder: Path) -> None:
        """As `runs/current` or a picture: what is there is taken away, and not followed."""
        for name in ("current", "pit.png", "recipe.toml"):
            (folder / name).symlink_to(victim)
            write_text(folder / name, "new")
            assert (folder / name).read_text() == "new"
            assert not (folder / name).is_symlink()
        assert victim.read_text() == "secret"

    def test_links_below_a_folder_of_ours_are_dropped(self, victim: Path, folder: Path) -> None:
        (folder / "arriving").mkdir()
        (folder / "arriving" / "file").symlink_to(victim)
        (folder / "arriving" / "all").symlink_to(victim.parent)
        (folder / "arriving" / "kept").write_text("kept")
        drop_links(folder / "arriving")
        assert [path.name for path in (folder / "arriving").iterdir()] == ["kept"]
        (folder / "whole").symlink_to(victim.parent)
        drop_links(folder / "whole")
        assert not (folder / "whole").is_symlink()
        assert victim.read_text() == "secret"


def test_what_a_killed_process_left_is_deleted_and_what_another_writes_is_not(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.000000000000.tmp").write_text("half")
    (tmp_path / ".b.txt.000000000000.tmp").write_text("of another file")

    def write(temporary: Path) -> None:
        temporary.write_text("outer")
        write_text(tmp_path / "a.txt", "inner")
        assert temporary.exists()

    write_atomically(tmp_path / "a.txt", write)
    assert (tmp_path / "a.txt").read_text() == "outer"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.txt.000000000000.tmp", "a.txt"]


def test_tensors_have_the_same_bytes_under_every_name(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for name in ("a.pt", "other.pt"):
        write_tensors(tmp_path / name, {"x": torch.arange(5)})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other.pt").read_bytes()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_inside_torchs_writer_is_no_other_error(tmp_path: Path, stop: type[BaseException]) -> None:
    """torch closes the archive on the way out, and says that it is not whole: what stopped it is what counts."""
    torch = pytest.importorskip("torch")

    class Stopped(io.RawIOBase):
        pieces = 0

        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.pieces += 1
            if self.pieces == 3:
                raise stop
            return len(piece)

    with pytest.raises(stop):
        write_atomically(tmp_path / "a.pt", lambda _: torch.save({"x": torch.zeros(20_000)}, Stopped()))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "a.json", {"name": name})
    append_line(tmp_path / "log.jsonl", {"name": name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": name}
    assert json.loads((tmp_path / "log.jsonl").read_bytes()) == {"name": name}
    write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_bytes() == b"caf\\udce9"


@pytest.mark.parametrize("what", ["torch", "safetensors", "polars", "pyarrow", "matplotlib"])
def test_a_full_disk_inside_a_library_is_a_sentence(tmp_path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INSIDE_A_LIBRARY, what, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Cannot write {tmp_path / 'whole'}: ")
    assert os.strerror(errno.EFBIG) in done.stdout
    assert not list(tmp_path.iterdir())


def test_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == known
    (tmp_path / "long").write_bytes(b"abc" * 10**6)
    assert sha256_file(tmp_path / "long") != known


def test_lines_are_appended_and_temporaries_removed(tmp_path: Path) -> None:
    append_line(tmp_path / "log.jsonl", {"a": 1})
    append_line(tmp_path / "log.jsonl", {"a": "ä"})
    assert [json.loads(line)["a"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, "ä"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".part-00000.parquet.tmp").write_text("half")
    (tmp_path / "data" / "mine.tmp").write_text("not ours")
    remove_temporaries(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["log.jsonl", "mine.tmp"]


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    append_line(log, {"a": 1})
    with log.open("a") as file:
        file.write('{"a": ')
    append_line(log, {"a": 3})
    append_line(log, {"a": 4})
    assert log.read_text().splitlines() == ['{"a": 1}', '{"a": ', '{"a": 3}', '{"a": 4}']


def test_a_full_disk_is_a_sentence_and_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit on file sizes makes writes fail half-way, as a full disk does."""
    with pytest.raises(FaithfulError, match="No space left"):
        append_line(Path("/dev/full"), {"a": 1})
    log = tmp_path / "log.jsonl"
    append_line(log, {"a": 1})
    before = log.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(log), str(tmp_path / "corpus")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert str(log) in said[0]
    assert said[1].startswith(f"Cannot write to {tmp_path / 'corpus'}")
    assert log.read_bytes() == before


def test_what_cannot_be_read_or_deleted_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FaithfulError, match=r"gone: No such file"):
        sha256_file(tmp_path / "gone")
    (tmp_path / ".a.tmp").mkdir()
    with pytest.raises(FaithfulError, match=r"\.a\.tmp"):
        remove_temporaries(tmp_path)


def test_the_lock_refuses_a_second_process_and_dies_with_the_first(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FaithfulError, match=f"pid {holder.pid}") as caught, folder_lock(tmp_path):
            pass
        assert "\n" not in str(caught.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with folder_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_the_lock_is_free_after_use_and_after_an_error(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "new"):
        pass
    with pytest.raises(RuntimeError), folder_lock(tmp_path / "new"):
        raise RuntimeError
    again = folder_lock(tmp_path / "new")
    with folder_lock(tmp_path / "new"), pytest.raises(FaithfulError, match="Another process"), again:
        pass


def test_a_shared_lock_lets_in_what_is_called_below_it_and_nobody_else(tmp_path: Path) -> None:
    def refused() -> bool:
        try:
            with folder_lock(tmp_path):
                return False
        except FaithfulError:
            return True

    with ThreadPoolExecutor(1) as other:
        with folder_lock(tmp_path, shared_below=True):
            assert not refused()
            assert other.submit(refused).result()
            with folder_lock(tmp_path / "below"):
                assert not refused()
            assert other.submit(refused).result()
        assert not other.submit(refused).result()
        with folder_lock(tmp_path):
            assert refused()


def test_parts_hold_a_folder_together_and_keep_out_who_does_all(tmp_path: Path) -> None:
    def refused(in_part: bool) -> bool:
        with contextlib.ExitStack() as held, contextlib.suppress(FaithfulError):
            if in_part:
                held.enter_context(locked_together(tmp_path))
            held.enter_context(folder_lock(tmp_path))
            return False
        return True

    with locked_together(tmp_path), folder_lock(tmp_path), ThreadPoolExecutor(1) as other:
        assert not other.submit(refused, True).result()
        assert other.submit(refused, False).result()
    with locked_together(tmp_path / "below"), folder_lock(tmp_path):
        assert refused(False)
    with folder_lock(tmp_path):
        assert refused(True)


def test_of_a_folder_that_parts_hold_no_process_is_named(tmp_path: Path) -> None:
    """Each would overwrite the number of the one before, and outlive it or not."""

    def said() -> str:
        with pytest.raises(FaithfulError) as caught, folder_lock(tmp_path):
            pass
        return str(caught.value)

    with folder_lock(tmp_path):
        pass
    with ThreadPoolExecutor(1) as other, locked_together(tmp_path), folder_lock(tmp_path), folder_lock(tmp_path):
        assert (tmp_path / ".lock").read_bytes() == b""
        assert other.submit(said).result() == (
            f"Parts of this work are being done in {tmp_path}; wait until they end or choose another --out."
        )


def test_too_many_open_files_are_allowed_or_said(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(FaithfulError, match=r"Too many open files; let a process open more files \(ulimit -n\)"):
            folder_lock(tmp_path).__enter__()
        allow_files(300)
        assert 300 < resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= hard
        with folder_lock(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("mount", "refused"),
    [
        ("rw,relatime shared:1 - nfs4 server:/x rw,vers=4.2,local_lock=none", ""),
        ("rw,relatime shared:1 - nfs server:/x rw,vers=3,nolock,local_lock=all", "local_lock=all"),
        ("rw,relatime - lustre server:/x rw,localflock", "localflock"),
        ("rw,relatime - ext4 /dev/sda rw", ""),
    ],
)
def test_locks_of_one_machine_are_refused_for_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str, refused: str
) -> None:
    home = tmp_path / "my home"
    above, below = "1 0 0:1 / / rw - ext4 /dev/root rw,nolock", f"3 1 0:3 / {tmp_path}/other rw - x y nolock"
    table = f"{above}\n2 1 0:2 / {str(home).replace(' ', chr(92) + '040')} {mount}\n{below}\n"
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **more: table if str(self) == "/proc/self/mountinfo" else read(self, **more)
    )
    if not refused:
        refuse_local_locks(home / "saes")
        return
    with pytest.raises(FaithfulError, match=f"mounted with {refused}, so that its locks bind .*; mount {home} without"):
        refuse_local_locks(home / "saes")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    write_text(tmp_path / "file", "a write needs no lock")
    for use in (lambda: folder_lock(tmp_path), lambda: turn(tmp_path / "record.json")):
        with pytest.raises(FaithfulError, match=f"{os.strerror(code)}; its file system has no locks that hold"), use():
            pass


def test_a_lock_that_two_hold_at_once_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    for use in (lambda: folder_lock(tmp_path), lambda: turn(tmp_path / "record.json")):
        with pytest.raises(FaithfulError, match="one lock is held twice; its file system has no locks"), use():
            pass
