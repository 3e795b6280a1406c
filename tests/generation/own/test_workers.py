"""Workers that draw: the environment they are born with."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from faithful.executor.local import LocalExecutor
from faithful.models.spec import resolve_model
from generation.own.workers import Drawer, Range, _Requests, _serve, start_drawer
from generation.sampling import vllm_engine
from generation.sampling.distribution import Sampling
from generation.sampling.engine import EngineSettings, Request, Sample
from generation.sampling.vllm_engine import VllmEngine
from generation.writing.hand import Hand


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
    spec: Any = Spec(tmp_path / "seen.json")
    settings = EngineSettings("transformers", "cpu", 1, 4, 8, deterministic=True)
    with LocalExecutor() as executor:
        start_drawer(executor, 0, spec, Sampling(max_tokens=8), settings)
        assert dict(os.environ) == before
        _, kind, _ = next(executor.events(120))
        assert kind == "failed"  # there is no model in this spec
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["threads"] == 1
    assert {"OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"} <= set(seen["born_with"])


def test_what_a_worker_does_is_said() -> None:
    drawer = Drawer(3, Mock(node=""))
    said = [drawer.row(10.0)]
    drawer.worker.node = "far"
    said.append(drawer.row(11.0))
    drawer.ready_at = 12.0
    drawer.assign(Range("train", 0, 0, (Request(0, 0), Request(1, 1))))
    assert drawer.deliver(0, ("train", 0), {0: 30})
    assert not drawer.deliver(1, ("train", 0), {1: 30}), "said of another turn"
    assert not drawer.deliver(0, ("train", 1), {1: 30}), "not its own"
    drawer.in_flight = 10
    said.append(drawer.row(14.0))
    drawer.idle = True
    said.append(drawer.row(16.0))
    assert [(row["node"], row["state"], row["rate"]) for row in said] == [
        ("", "waiting for a node", 0.0), ("far", "starting", 0.0), ("far", "drawing", 20.0), ("far", "idle", 10.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("positions", "most", "longest"), [(0, 31, 32), (16, 31, 16), (128, 31, 32), (128, 1, 3), (0, 1, 3), (2, 1, 2)]
)
def test_vllm_is_told_the_longest_context_where_the_model_states_none(
    monkeypatch: pytest.MonkeyPatch, positions: int, most: int, longest: int
) -> None:
    """Three tokens at least, where the model has so many: a text of two is scored before the first sample."""
    told: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=lambda **stated: told.update(stated) or Mock()))
    monkeypatch.setattr(vllm_engine, "cpu_row_bytes", lambda *_: 1)
    spec: Any = Mock(positions=positions)
    VllmEngine(spec, Sampling(max_tokens=most), EngineSettings("vllm", "cpu", 1, 8, 24, deterministic=False))
    assert told["max_model_len"] == longest
    assert told["tensor_parallel_size"] == 1


def test_a_model_over_several_gpus_is_told_vllm_and_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=lambda **stated: told.update(stated) or Mock()))
    settings = EngineSettings("vllm", "cuda", 1, 8, 24, deterministic=False, tensor_parallel=2)
    spec: Any = Mock(positions=0, dtype="bfloat16")
    VllmEngine(spec, Sampling(max_tokens=31), settings)
    assert told["tensor_parallel_size"] == 2
    executor: Any = Mock()
    start_drawer(executor, 1, spec, Sampling(max_tokens=31), settings)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert executor.start.call_args.args[1].environment(1)["CUDA_VISIBLE_DEVICES"] == "2,3"


class Told:
    """A line on which things arrive at certain steps of the engine."""

    def __init__(self, mail: list[tuple[str, Any]]) -> None:
        self.mail, self.said = mail, list[tuple[str, Any]]()

    def say(self, kind: str, content: Any = None) -> None:
        self.said.append((kind, content))

    def hear(self) -> tuple[str, Any]:
        return self.mail.pop(0)

    def has_mail(self) -> bool:
        return bool(self.mail)


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("drain", [True, False])
def test_what_is_said_after_a_cancel_is_of_the_turn_before(at: int, drain: bool) -> None:
    """Whichever step hears it: what was drawn is dropped by then, and more of it is not asked for."""
    work = Range("train", 0, 0, tuple(Request(index, index) for index in range(6)))
    line = Told([("range", work)])
    link = _Requests(line, Hand(resolve_model("tiny")))

    class Engine:
        told: Any = None

        def run(self, requests: Any) -> Any:
            for step in range(6):
                if step == at:
                    line.mail.append(("cancel", None))
                self.told(1)
                request = next(requests, None)
                if request is None:
                    return
                yield Sample(request.index, request.seed, [30], "length", [-1.0], None)

    _serve(Engine(), link, drain)
    assert link.cancelled and link.turn == 1 and link.hand.drawn == {}
    assert {content[0] if kind == "drawn" else content for kind, content in line.said if kind != "step"} <= {0}
    link.cancelled = False
    line.mail.append(("stop", None))
    _serve(Engine(), link, drain)
    assert line.said[-1] == ("want", 1)
