"""Processes: the environment they are born with, what is said, and how they end."""

import os
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.base.files import folder_lock
from faithful.executor.child import environment
from faithful.executor.local import LocalExecutor, LocalLink, stop_all
from faithful.executor.protocol import LinkGone, Share


def test_the_environment_is_restored_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "before")
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(RuntimeError), environment({"THERE": "now", "ABSENT": "now"}):
        assert (os.environ["THERE"], os.environ["ABSENT"]) == ("now", "now")
        raise RuntimeError
    assert os.environ["THERE"] == "before"
    assert "ABSENT" not in os.environ


class Process:
    """A process that ends `ends` steps of force late: 0 when asked, 1 when terminated, 2 when killed."""

    def __init__(self, name: str, ends: int, told: list[str]) -> None:
        self.name, self.ends, self.told, self.force = name, ends, told, 0

    def is_alive(self) -> bool:
        return self.force < self.ends

    def terminate(self) -> None:
        self.told.append(f"terminate {self.name}")
        self.force = 1

    def kill(self) -> None:
        self.told.append(f"kill {self.name}")
        self.force = 2

    def join(self, seconds: float) -> None:
        self.told.append(f"wait for {self.name}")
        if self.is_alive():
            time.sleep(min(seconds, 0.3))


class Stub:
    """A worker around such a process."""

    def __init__(self, name: str, ends: int, told: list[str]) -> None:
        self.process, self.told = Process(name, ends, told), told

    def tell(self, kind: str) -> bool:
        assert kind == "stop"
        self.told.append(f"ask {self.process.name}")
        return True

    def close(self) -> None:
        assert not self.process.is_alive()
        self.told.append(f"close {self.process.name}")


def test_all_are_asked_before_any_is_waited_for() -> None:
    told: list[str] = []
    workers: Any = [Stub("a", 0, told), Stub("b", 1, told), Stub("c", 2, told)]
    began = time.monotonic()
    stop_all(workers)
    waits = ["wait for a", "wait for b", "wait for c"]
    assert told == [
        *("ask a", "ask b", "ask c"), *waits,
        *("terminate b", "terminate c"), *waits,
        "kill c", *waits,
        *("close a", "close b", "close c"),
    ]  # fmt: skip
    assert time.monotonic() - began < 5


def test_many_that_do_not_listen_take_no_longer_than_one() -> None:
    told: list[str] = []
    workers: Any = [Stub(str(n), 1, told) for n in range(40)]
    began = time.monotonic()
    stop_all(workers)
    assert time.monotonic() - began < 3


def test_a_process_that_the_system_refuses_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("faithful.executor.local.Pipe", refuse)
    with LocalExecutor() as executor, pytest.raises(FaithfulError, match="Too many open files; use fewer --workers"):
        executor.start(0, Share("cpu"), print)


def answer(link: Any, first: int) -> None:
    """Says what it was given and whatever it is told, until told to stop; some things end it."""
    link.say("given", first)
    while (mail := link.hear())[0] != "stop":
        if mail[0] == "fail":
            raise FaithfulError("No such thing.")
        if mail[0] == "break":
            raise AssertionError("a fault in the program")
        link.say(*mail)


@pytest.mark.parametrize("share", [Share("cpu"), Share("cpu", inherits=True)])
def test_a_worker_is_told_and_says_and_has_last_words(share: Share) -> None:
    heard: dict[Any, list[tuple[str, Any]]] = {}
    with LocalExecutor() as executor:
        workers = [executor.start(number, share, answer, number) for number in range(2)]
        assert workers[0].tell("a", 1)
        workers[0].tell("fail")
        workers[1].tell("break")
        while sum(kind == "died" for said in heard.values() for kind, _ in said) < 2:
            for worker, kind, content in executor.events(60):
                heard.setdefault(worker, []).append((kind, content))
        assert not workers[0].tell("a", 1)
    assert heard[workers[0]] == [("given", 0), ("a", 1), ("failed", "No such thing."), ("died", 0)]
    assert heard[workers[1]] == [("given", 1), ("died", 1)]


def break_off(link: Any, error: type[Exception]) -> None:
    """Work that raises what a pipe raises, too."""
    link.say("begun")
    raise error("of the work")


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (EOFError, [("died", 1)]),
        (ConnectionResetError, [("failed", "of the work; mend that and run the same command again."), ("died", 0)]),
        (BrokenPipeError, [("failed", "of the work; mend that and run the same command again."), ("died", 0)]),
    ],
)
def test_an_error_of_the_work_is_not_taken_for_the_end_of_its_giver(
    error: type[Exception], last: list[tuple[str, Any]]
) -> None:
    heard: list[tuple[str, Any]] = []
    with LocalExecutor() as executor:
        executor.start(0, Share("cpu", inherits=True), break_off, error)
        while not heard or heard[-1][0] != "died":
            heard += [(kind, content) for _, kind, content in executor.events(60)]
    assert heard == [("begun", None), *last]


def test_a_pipe_that_nobody_holds_tells_so() -> None:
    ours, theirs = Pipe()
    link = LocalLink(theirs)
    ours.close()
    for use in (lambda: link.say("it"), link.hear):
        with pytest.raises(LinkGone):
            use()


def hold(link: Any, folder: Path) -> None:
    """Tries to take a lock."""
    try:
        with folder_lock(folder):
            link.say("taken")
    except FaithfulError:
        link.say("refused")
    link.hear()


def test_a_lock_ends_with_its_process_though_one_that_it_forked_lives_on(tmp_path: Path) -> None:
    with LocalExecutor() as executor:
        with folder_lock(tmp_path):
            executor.start(0, Share("cpu", inherits=True), hold, tmp_path)
            assert next(executor.events(60))[1] == "refused"
        with folder_lock(tmp_path):
            pass
