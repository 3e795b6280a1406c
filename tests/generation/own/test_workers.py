"""Worker processes: the environment they are born with, and how they end."""

import json
import os
import queue
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from faithful.base.errors import FaithfulError
from faithful.executor.child import environment
from generation.own.workers import Worker, stop_all, worker_environment
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings
from generation.sampling.vllm_engine import VllmEngine


class Spec:
    """In the place of a model: to unpickle it, a new process imports torch first and writes down what it finds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return look_around, (self.path,)


def look_around(path: Path) -> None:
    import torch

    born_with = Path("/proc/self/environ").read_text().split("\0")
    path.write_text(json.dumps({"threads": torch.get_num_threads(), "born_with": born_with}))


@pytest.mark.slow
def test_a_worker_has_its_threads_before_its_first_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    inbox: Any = queue.SimpleQueue()
    spec: Any = Spec(tmp_path / "seen.json")
    settings = EngineSettings("transformers", "cpu", 1, 4, 8, deterministic=True)
    worker = Worker(0, spec, Sampling(max_tokens=8), settings, inbox)
    assert dict(os.environ) == before
    try:
        _, kind, _ = inbox.get(timeout=120)
        assert kind == "error"  # there is no model in this spec
    finally:
        stop_all([worker])
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["threads"] == 1
    assert {"OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"} <= set(seen["born_with"])
    wanted = {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "OMP_WAIT_POLICY": "PASSIVE"}
    assert worker_environment(0, replace(settings, threads=3)) == wanted


def test_the_environment_is_restored_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "before")
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(RuntimeError), environment({"THERE": "now", "ABSENT": "now"}):
        assert (os.environ["THERE"], os.environ["ABSENT"]) == ("now", "now")
        raise RuntimeError
    assert os.environ["THERE"] == "before"
    assert "ABSENT" not in os.environ


def test_each_worker_on_a_gpu_machine_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EngineSettings("transformers", "cuda", 1, 4, 8, deterministic=True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [worker_environment(n, settings)["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [worker_environment(n, settings)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["4", "6"]
    assert worker_environment(0, settings)["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


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

    def ask_to_stop(self) -> None:
        self.told.append(f"ask {self.process.name}")

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

    monkeypatch.setattr("generation.own.workers.Pipe", refuse)
    settings = EngineSettings("transformers", "cpu", 1, 4, 8, deterministic=True)
    spec: Any = None
    with pytest.raises(FaithfulError, match="Too many open files; use fewer --workers"):
        Worker(0, spec, Sampling(), settings, queue.SimpleQueue())


@pytest.mark.parametrize(("positions", "longest"), [(0, 32), (16, 16), (128, 32)])
def test_vllm_is_told_the_longest_context_where_the_model_states_none(
    monkeypatch: pytest.MonkeyPatch, positions: int, longest: int
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=lambda **stated: told.update(stated) or Mock()))
    spec: Any = Mock(positions=positions)
    VllmEngine(spec, Sampling(max_tokens=31), EngineSettings("vllm", "cpu", 1, 8, 24, deterministic=False))
    assert told["max_model_len"] == longest
