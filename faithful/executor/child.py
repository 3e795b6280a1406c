"""Processes of our own: deaf to the terminal's Ctrl-C, and gone as soon as whoever started them is."""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

from faithful.base.terminal import open_streams

PR_SET_PDEATHSIG = 1
_STARTING = threading.Lock()


def start_child(
    function: Callable[..., None], *args: Any, name: str | None = None, forked: bool = False
) -> BaseProcess:
    """Start a process that calls a function of a module; it and its arguments are of modules that can be imported.

    It begins anew and loads its modules, but not the script that was started as `__main__`: one without a guard would run
    again in each of them, and that of a Ray actor loads Ray. Or it is `forked` off, with all that this process has loaded,
    as PyTorch's own DataLoader forks its workers: like theirs, its work must keep to one CPU thread, since those of OpenMP
    do not outlive a fork, and off a GPU that this process has used.

    It is born deaf to SIGINT, which a terminal sends to the whole group: whoever started it stops it. What it prints goes
    to stderr, so that it does not mix with the command's own answer. It dies with the process that started it, however
    that dies, also while its modules load: Linux kills it, and elsewhere it watches the pipe to it.

    Raises:
        OSError: the system gives no process.
    """
    context: Any = multiprocessing.get_context("fork" if forked else "spawn")
    anew = context.get_start_method() != "fork"
    call = _Call(function, args)
    process: BaseProcess = context.Process(target=_begin, args=(call,), daemon=False, name=name)
    with _deaf_to_interrupts(), _without_main() if anew else contextlib.nullcontext():
        process.start()
    return process


class _Call:
    """A call that is put together only when it is made: its modules, which may be heavy, load after `_die_with_parent`."""

    def __init__(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args

    def __call__(self) -> None:
        self.function(*self.args)

    def __reduce__(self) -> Any:
        return _Packed, (bytes(ForkingPickler.dumps((self.function, self.args))),)


class _Packed:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self) -> None:
        function, args = pickle.loads(self.content)
        function(*args)


def _begin(call: Callable[[], None]) -> None:
    """Main function of every process."""
    _die_with_parent()
    open_streams()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    call()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            os._exit(1)  # it died before it could be asked for
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True, name="parent").start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _without_main() -> Iterator[None]:
    """A process started meanwhile is not told of this one's main module."""
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which a process started meanwhile is born with, and restore them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
