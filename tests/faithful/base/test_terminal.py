"""Text of others on the terminal, readers that are gone, closed streams, odd encodings, Ctrl-C: with real processes."""

import contextlib
import errno
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from faithful.base.progress import Progress
from faithful.base.terminal import UNSAFE, Output, in_json, plain
from faithful.cli.output.tables import fitted
from faithful.cli.output.training_tables import LiveTable
from faithful.cli.show import command, print_json, print_table, say
from tests.unprivileged import unprivileged

EVIL = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnp.exe\r\x00\x7f\u2028\udcff\U000e0041[/red][bold]"


class TestPlain:
    def test_every_control_character_and_every_turn_of_direction_is_shown(self) -> None:
        turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for code in [*range(0x3000), *range(0xD800, 0xE000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0080)]:
            one = chr(code)
            is_control = unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") and one not in "\n\t"
            if is_control or unicodedata.bidirectional(one) in turning:
                assert plain(one) != one, hex(code)
                assert plain(one).isascii()

    def test_words_in_every_script_stay_as_they_are(self) -> None:
        for text in ("naïve – ✓ 你好 मनुष्य नमस्ते \u200c می\u200cخواهم 👩\u200d🔬\n\tcode", "[bold] \\x1b 100 %"):
            assert plain(text) == text

    def test_json_keeps_its_value(self) -> None:
        value = {EVIL: [EVIL, "\U0001f600"]}
        shown = in_json(json.dumps(value, ensure_ascii=False))
        assert json.loads(shown) == value
        assert not UNSAFE.search(shown)


class TestShown:
    def test_a_sentence_is_one_line_without_anything_that_steers(self, capsys: pytest.CaptureFixture[str]) -> None:
        say(f"Error: {EVIL}\nPublished everything")
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert not UNSAFE.search(said)
        assert "\\x1b[31mred" in said
        assert "[/red][bold]" in said

    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_a_table_shows_names_as_they_are(
        self, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Console, "is_terminal", is_terminal)
        print_table(EVIL, [(EVIL, "1")], (EVIL, "[/none]"))
        shown = capsys.readouterr().out
        assert "title\\x07" in shown
        assert "[/none]" in shown
        assert shown.count("[/red][bold]") == 3
        left = UNSAFE.findall(seen_of(shown))
        assert not left

    def test_names_that_look_like_markup_are_headers_too(self) -> None:
        table, _ = fitted([("[/x]", "1")], ("[/y]", "[bold]"), 80)
        console = Console(width=80, file=io.StringIO(), record=True)
        console.print(table)
        shown = console.export_text()
        assert all(name in shown for name in ("[/x]", "[/y]", "[bold]"))

    def test_the_live_table_of_training_shows_a_corpus_of_any_name(self) -> None:
        cell = {"cell": "[/red] seed 0", "fvu": 0.5, "l0": 4.0, "dead_in_training": 0, "loss": 1.0}
        point = Progress(f"training {EVIL}", 1, 2, cells=(cell,))
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(LiveTable().told(point, 0.0))
        shown = console.export_text()
        assert "[/red] seed 0" in shown
        assert "\\x1b[31mred" in shown

    def test_json_on_stdout_steers_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_json({"name": EVIL})
        shown = capsys.readouterr().out
        assert json.loads(shown) == {"name": EVIL}
        assert not UNSAFE.search(shown)

    def test_what_an_answer_of_the_hub_says_is_an_error_in_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        @command
        def fail() -> None:
            raise OSError(errno.EIO, "\x1b[2Jfine\x1b[0m")

        with pytest.raises(Exception, match="2"):
            fail()
        assert capsys.readouterr().err.startswith("Error: \\x1b[2Jfine")


def seen_of(text: str) -> str:
    """What a terminal would get of it, without the colours of our own."""
    kept = io.StringIO()
    Output(kept).write(text)
    return re.sub(r"\x1b\[[0-9;]*m", "", kept.getvalue())


class TestOutput:
    def test_a_library_cannot_steer_the_terminal_either(self) -> None:
        assert seen_of("bar\x1b]52;c;AAAA\x07 \x1b[8mhidden \x9b2J") == "bar\\x1b]52;c;AAAA\\x07 hidden \\x9b2J"

    def test_what_nobody_reads_is_dropped_and_nothing_raised(self) -> None:
        there, gone = os.pipe()
        os.close(there)
        stream = Output(os.fdopen(gone, "w"))
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
        assert stream.lost is not None
        assert stream.lost.errno == errno.EPIPE
        stream.close()


def ask(*arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    kwargs = {"capture_output": True, "text": True, "timeout": 120} | kwargs
    return subprocess.run([sys.executable, "-m", "faithful", *arguments], check=False, **kwargs)


def test_errors_of_the_command_line_itself_steer_nothing() -> None:
    done = ask("corpus", "\x1b]0;title\x07", "--no-\x1b[2Jsuch")
    assert done.returncode == 2
    assert "\x07" not in done.stderr and "\x1b" not in done.stderr


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_is_gone_changes_no_exit_code(stream: str) -> None:
    there, gone = os.pipe()
    os.close(there)
    other = {"stdout": "stderr", "stderr": "stdout"}[stream]
    done = ask("models", capture_output=False, **{stream: gone, other: subprocess.PIPE})
    os.close(gone)
    assert done.returncode == 0
    assert "Traceback" not in (done.stdout or "") + (done.stderr or "")
    assert (done.stdout or done.stderr) != ""


def test_closed_streams_are_nobody_else_s() -> None:
    """No file that is opened may become stdout or stderr, where prints would go into it."""
    code = (
        "import os; from faithful.base.terminal import run;"
        " run(lambda: os.open('/dev/zero', os.O_RDONLY) > 2 or os._exit(7))"
    )
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code], check=False, timeout=60
    )
    assert done.returncode == 0


def test_a_full_disk_behind_stdout_is_told_at_the_end() -> None:
    with Path("/dev/full").open("w") as full:
        done = ask("models", "--json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("Error: the output cannot be written (No space left on device)")
    assert "Traceback" not in done.stderr


def test_an_encoding_that_lacks_a_character_shows_its_escape() -> None:
    for encoding in ("latin-1", "ascii", "cp1252"):
        done = ask("models", "--json", env=os.environ | {"PYTHONIOENCODING": encoding})
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
        done = ask("corpus", "stats", "naïve–你", env=os.environ | {"PYTHONIOENCODING": encoding}, encoding=encoding)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: na"), done.stderr
        assert "\\u4f60" in done.stderr


def test_without_a_home_folder_a_tilde_is_a_sentence(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = ask("corpus", "add", "~nobody-of-this-name/x", env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert "no home folder" in done.stderr
    tmp_path.chmod(0o777)
    done = subprocess.run(
        unprivileged([sys.executable, "-m", "faithful", "doctor"]),
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def _limited(limit: str, *words: str) -> subprocess.CompletedProcess[str]:
    # The shell sets the limit: what Python does between fork and exec may wait for a lock of another thread for ever.
    command = ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", sys.executable, "-m", "faithful", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("flag", "mebibytes"), [("-v", 150), ("-v", 250), ("-v", 700), ("-v", 1_300), ("-d", 100), ("-d", 320)]
)
def test_memory_that_lets_no_library_load_is_refused_before_one_is_loaded(flag: str, mebibytes: int) -> None:
    """At 150 MiB of addresses OpenBLAS waits for ever while numpy loads, at 250 polars crashes."""
    done = _limited(f"{flag} {mebibytes << 10}", "study", "seeds", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    said = f"Error: This process may have {mebibytes:,} MiB of memory (ulimit {flag}), and the libraries need about "
    assert done.stderr.startswith(said) and done.stderr.endswith(" to load; lift the limit.\n")


def test_memory_that_lets_them_load_is_not_refused() -> None:
    done = _limited(f"-v {9 << 20}", "study", "seeds", "nothing")
    assert done.returncode == 2
    assert "nothing" in done.stderr and "ulimit" not in done.stderr


def test_what_loads_no_library_needs_little() -> None:
    assert _limited(f"-v {150 << 10}", "--version").returncode == 0


INTERRUPTED = """
import os, signal, sys
from faithful.base.terminal import run
def start():
    {body}
run(start)
"""


@pytest.mark.parametrize(
    "body",
    [
        "import tests.faithful.base.interrupted_module",
        "os.kill(os.getpid(), signal.SIGINT)",
        "\n    try:\n        os.kill(os.getpid(), signal.SIGINT)\n    finally:\n        os.kill(os.getpid(), signal.SIGINT)",
        "\n    class A:\n        def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n    A()",
        "\n    try: os.kill(os.getpid(), signal.SIGINT)\n    except KeyboardInterrupt: raise ValueError('matrix') from None",
        "\n    from faithful.base.errors import FaithfulError\n    from faithful.cli.show import command\n    def work():\n"
        "        try: os.kill(os.getpid(), signal.SIGINT)\n"
        "        except KeyboardInterrupt: raise FaithfulError('No answer.')\n"
        "    command(work)()",
    ],
    ids=["while a module loads", "at work", "twice", "in a destructor", "made another error of", "made a sentence of"],
)
def test_ctrl_c_is_one_sentence(body: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(body=body)],
        capture_output=True, text=True, check=False, timeout=60, preexec_fn=_listen,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.strip() == "Stopped. What is finished is kept; run the same command again to go on."


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_what_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    """As in the background of a shell."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(body="os.kill(os.getpid(), signal.SIGINT)")],
        capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_is_closed_stops_no_work(tmp_path: Path) -> None:
    """The other end of the terminal is gone before the first bar is drawn."""
    ours, theirs = pty.openpty()
    code = (
        "import sys, pathlib\nfrom faithful.base.terminal import run\nfrom faithful.cli.show import progress\n"
        "from faithful.base.progress import Progress\n"
        "def start():\n"
        "    sys.stdin.read(1)\n"
        "    with progress() as report:\n"
        "        for done in range(50): report(Progress('work', done, 50))\n"
        f"    pathlib.Path({str(tmp_path / 'done')!r}).write_text('done')\n"
        "run(start)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    os.close(ours)
    process.communicate(b"x", timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "done").read_text() == "done"


@pytest.mark.parametrize("no_color", [False, True])
def test_no_color_is_heeded_on_a_terminal(no_color: bool) -> None:
    """Bars and tables; bold is no colour (no-color.org)."""
    ours, theirs = pty.openpty()
    code = (
        "from faithful.base.terminal import run\nfrom faithful.cli.show import print_table, progress\n"
        "from faithful.base.progress import Progress\n"
        "def start():\n"
        "    with progress() as report:\n"
        "        for done in range(5): report(Progress('work', done, 5))\n"
        "    print_table('title', [('a', 'b')], ('one', 'two'))\n"
        "run(start)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # what Linux says when the other end is closed
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert b"work" in shown and b"title" in shown
    assert bool(re.search(rb"\x1b\[(?:\d+;)*(?:[349][0-7]|[34]8;)", shown)) is not no_color
