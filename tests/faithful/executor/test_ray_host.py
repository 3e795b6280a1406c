"""What runs on a node, without Ray: the host of a worker's process."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from faithful.executor import ray_host
from faithful.executor.protocol import Share
from faithful.executor.ray_host import Host, look, look_at_processors, run_packed


def answer(link: Any, first: int) -> None:
    """Says where it is and what it was given and told."""
    link.say("given", (first, str(Path.cwd())))
    link.say(*link.hear())


def heard(host: Host) -> list[tuple[str, Any]]:
    """All that a worker says until it dies."""
    said: list[tuple[str, Any]] = []
    while not said or said[-1][0] != "died":
        said += [pickle.loads(packed) for packed in host.hear(60.0)]
    return said


def test_a_host_passes_on_what_is_said_both_ways(tmp_path: Path) -> None:
    before = Path.cwd()
    try:
        host = Host(0, Share("cpu"), "worker", str(tmp_path), pickle.dumps((answer, (3,))))
        host.post(pickle.dumps(("told", 4)))
        assert heard(host) == [("given", (3, str(tmp_path))), ("told", 4), ("died", 0)]
        away = Host(0, Share("cpu"), "worker", "/no/such/folder", pickle.dumps((answer, (5,))))
        away.post(pickle.dumps(("told", 6)))
        assert heard(away)[0] == ("given", (5, str(tmp_path)))
    finally:
        os.chdir(before)


def test_workers_of_a_node_begin_one_after_the_other(monkeypatch: Any) -> None:
    monkeypatch.setattr(ray_host, "STAGGER_SECONDS", 60.0)
    first = ray_host._Turn()
    with ThreadPoolExecutor(1) as other:
        second = other.submit(ray_host._Turn)
        try:
            with pytest.raises(TimeoutError):
                second.result(0.3)
        finally:
            first.end()
        second.result(60.0).end()
    monkeypatch.setattr(ray_host, "STAGGER_SECONDS", 0.05)
    ray_host._Turn()  # never ended by hand
    ray_host._Turn().end()


def test_a_node_says_its_versions_and_what_it_does_not_see(tmp_path: Path) -> None:
    found = look(tmp_path / "token", [tmp_path])
    assert found["unseen"] == [str(tmp_path / "token")]
    assert {"python", "faithful", "torch", "transformers"} <= found["versions"].keys()
    assert "+" not in found["versions"]["torch"]


def test_a_node_says_what_torch_computes_with_also_where_ray_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(device: str) -> list[str]:
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        return [f"a {device}"]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(ray_host, "processors", names)
    found = look_at_processors()
    assert found["processors"] == {"cpu": ["a cpu"], "cuda": ["a cuda"]}
    assert found["versions"] == look(None, ())["versions"]


def test_what_is_packed_is_run() -> None:
    said: list[Any] = []

    class Line:
        def say(self, kind: str, content: Any) -> None:
            said.append((kind, content))

    line: Any = Line()
    run_packed(line, pickle.dumps((tell_sum, (1, 2))))
    assert said == [("sum", 3)]


def tell_sum(link: Any, one: int, other: int) -> None:
    """Says a sum."""
    link.say("sum", one + other)


def test_what_quantises_and_spreads_a_model_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_host.metadata, "version", lambda name: f"1.2+{name}")
    versions = look(None, ())["versions"]
    assert versions["bitsandbytes"] == versions["accelerate"] == "1.2"
