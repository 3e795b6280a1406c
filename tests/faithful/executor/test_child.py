"""Processes of our own end with whoever started them, whatever ends that."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE = 60.0
PARENT = """
import os, sys, time
sys.path.insert(0, {folder!r})

if __name__ == "__main__":
    from multiprocessing import Pipe
    from faithful.executor.child import start_child
    import told
    pipes = [Pipe() for _ in range(2)]
    children = [start_child(told.{what}, theirs) for _, theirs in pipes]
    if {wait}:
        for ours, _ in pipes:
            ours.recv()
    print("ready", flush=True)
    time.sleep({patience})
"""
TOLD = """
import os, signal, time

def work(pipe):
    pipe.send(("deaf", signal.getsignal(signal.SIGINT) is signal.SIG_IGN))
    while True:
        pass

def loads(pipe):
    raise AssertionError("its module never loads to the end")
"""
UNGUARDED = """
import sys
sys.path.insert(0, {folder!r})
from faithful.executor.child import start_child
import said
print("begun", flush=True)
start_child(said.hello).join()
print(sys.modules["__main__"].__file__, flush=True)
"""
SAID = """
def hello():
    print("hello", flush=True)
"""
LOADS_LONG = "\nif __import__('multiprocessing').parent_process():\n    time.sleep(1000)\n"


def open_ends(descriptor: int, seconds: float) -> bool:
    """Whether any process still holds the other end of a pipe after some seconds."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    return not (ready and os.read(descriptor, 1) == b"")


def start(tmp_path: Path, what: str, *, loads_long: bool = False) -> tuple["subprocess.Popen[str]", int]:
    """A parent with two children, and the end of a pipe whose other end all three hold."""
    (tmp_path / "told.py").write_text(TOLD + (LOADS_LONG if loads_long else ""))
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(tmp_path), what=what, wait=not loads_long, patience=10 * PATIENCE))
    watched, held = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=held, text=True, start_new_session=True
    )
    os.close(held)
    assert parent.stdout
    assert parent.stdout.readline() == "ready\n"
    return parent, watched


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_at_work_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    parent, watched = start(tmp_path, "work")
    parent.send_signal(number)
    if (
        number == signal.SIGINT
    ):  # Python ends its own children that are at work only when it is told to: nobody does here
        parent.kill()
    parent.wait(PATIENCE)
    while os.read(watched, 4096):
        pass
    os.close(watched)


def test_a_child_whose_modules_still_load_ends_too(tmp_path: Path) -> None:
    """Loading takes seconds, and what asks the kernel for it is no longer the last thing that loads."""
    parent, watched = start(tmp_path, "loads", loads_long=True)
    parent.kill()
    parent.wait(PATIENCE)
    assert not open_ends(watched, PATIENCE)
    os.close(watched)


def test_ctrl_c_at_the_terminal_is_the_parent_s_alone(tmp_path: Path) -> None:
    parent, watched = start(tmp_path, "work")
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    for child in children:
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(int(child), signal.SIGINT)
    assert open_ends(watched, 0.5)
    parent.kill()
    parent.wait(PATIENCE)
    assert not open_ends(watched, PATIENCE)
    os.close(watched)


def test_without_the_kernel_s_help_the_pipe_to_the_parent_is_watched() -> None:
    sentinel, held = os.pipe()
    watcher = subprocess.Popen(
        [sys.executable, "-c", f"from faithful.executor.child import _watch; _watch({sentinel})"], pass_fds=[sentinel]
    )
    assert watcher.poll() is None
    os.close(held)
    assert watcher.wait(PATIENCE) == 1
    os.close(sentinel)


def test_what_a_child_prints_is_not_on_the_parent_s_stdout(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import os\n\ndef work():\n    print('by a library')\n    os.system('echo by a program')\n"
    )
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
if __name__ == "__main__":
    from faithful.executor.child import start_child
    import told
    start_child(told.work).join()
    print("answer")
"""
    (tmp_path / "parent.py").write_text(script)
    done = subprocess.run([sys.executable, tmp_path / "parent.py"], capture_output=True, text=True, check=False)
    assert done.stdout == "answer\n"
    assert sorted(done.stderr.splitlines()) == ["by a library", "by a program"]


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(SAID)
    script = tmp_path / "parent.py"
    script.write_text(UNGUARDED.format(folder=str(tmp_path)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split() == ["begun", str(script)] and done.stderr.split() == ["hello"]
