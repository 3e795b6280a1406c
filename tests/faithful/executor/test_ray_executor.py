"""Workers behind a Ray that is none: hosts in this process, asked on threads of their own."""

import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.executor.jobs import Crew
from faithful.executor.protocol import Share
from faithful.executor.ray_executor import RayExecutor


class Lost(Exception):
    """What Ray says of an actor that is gone."""


class Actor:
    """A host as Ray hands it out."""

    def __init__(self, made: Any, arguments: tuple[Any, ...]) -> None:
        self.threads = {group: ThreadPoolExecutor(1) for group in ("post", "hear")}
        self.begun: Future[Any] = ThreadPoolExecutor(1).submit(made, *arguments)

    def __getattr__(self, name: str) -> Any:
        def ask(group: str, *arguments: Any) -> "Future[Any]":
            return self.threads[group].submit(lambda: getattr(self.begun.result(), name)(*arguments))

        return SimpleNamespace(
            options=lambda concurrency_group: SimpleNamespace(remote=partial(ask, concurrency_group))
        )


class Ray:
    """As much of Ray as is used, on this machine; `asked` is what actors were asked for with."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.killed: list[Actor] = []
        self.exceptions = SimpleNamespace(RayError=Lost)

    def remote(self, **stated: Any) -> Any:
        self.asked.append(stated)
        return lambda made: SimpleNamespace(remote=lambda *arguments: Actor(made, arguments))

    def wait(self, futures: list[Any], num_returns: int, timeout: float) -> Any:
        done = wait(futures, timeout, "FIRST_COMPLETED" if num_returns < len(futures) else "ALL_COMPLETED").done
        return list(done), []

    def get(self, future: Any) -> Any:
        said = future.result()
        if isinstance(said, list) and b"lost" in b"".join(said):
            raise Lost
        return said

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)
        process = actor.begun.result().worker.process
        process.kill()
        process.join()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    """In the place of the real one."""
    ray = Ray()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    return ray


def work(shared: Any, job: str, tell: Any) -> str:
    """A job that fails, is lost once, or is done."""
    if job == "bad":
        raise FaithfulError("bad failed.")
    trace = shared / job
    if job == "killed" and not trace.exists():
        trace.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "gone" and not trace.exists():
        trace.touch()
        tell("lost")
        time.sleep(60)
    return job.upper()


def test_jobs_of_workers_that_are_lost_are_done_by_others(ray: Ray, tmp_path: Any) -> None:
    jobs = ["a", "killed", "b", "gone", "c"]
    with Crew(work, tmp_path, 2, Share("cpu"), "study", RayExecutor("study")) as crew:
        assert crew.run(jobs, lambda _: None) == ["A", "KILLED", "B", "GONE", "C"]
        with pytest.raises(FaithfulError, match=r"^bad failed\.$"):
            crew.run(["bad", "d"], lambda _: None)
    assert len(ray.killed) == len(ray.asked) == 4  # two lost, two at the end
    assert ray.asked[0]["num_cpus"] == 1
    assert ray.asked[0]["num_gpus"] == 0


def test_workers_on_gpus_ask_for_whole_ones(ray: Ray) -> None:
    executor = RayExecutor()
    worker = executor.start(0, Share("cuda", gpus=2), print)
    assert (ray.asked[0]["num_gpus"], ray.asked[0]["num_cpus"]) == (2, 1)
    executor.__exit__()
    assert not worker.tell("stop")
