"""`faithful models` and `faithful doctor` as typed."""

import json
from contextlib import nullcontext

import pytest

from faithful.executor import ray_cluster
from faithful.executor.ray_cluster import RayNode
from faithful.executor.ray_host import look
from faithful.models.presets import presets
from tests.faithful.cli.called import call


def test_models_as_json_are_the_presets() -> None:
    result = call("models", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer) == list(presets())
    assert answer["pythia-2.8b"]["d_sae"] == 15_360
    assert answer["llama-3.1-8b"]["shape"]["layers"] == 32


def test_doctor_is_a_table() -> None:
    result = call("doctor")
    assert result.exit_code == 0
    for name in ("Python", "memory", "GPU", "vLLM", "Hub", "disk", "embedded model"):
        assert name in result.stdout
    assert "Next:" in result.stderr


def test_doctor_of_a_cluster_names_its_nodes_and_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = look(None, ())["versions"]
    nodes = [
        RayNode("near (a:1)", 4, 2, ours, {"cpu": ["AVX2"], "cuda": ["A100", "H100"]}),
        RayNode("far (b:2)", 4, 0, ours | {"torch": "1.0"}),
    ]
    monkeypatch.setattr(ray_cluster, "connected", lambda address: nullcontext())
    monkeypatch.setattr(ray_cluster, "look_at_nodes", lambda: nodes)
    result = call("doctor", "--ray", "head:6379")
    assert result.exit_code == 0
    assert "near (a:1)" in result.stdout
    assert "far (b:2) has torch 1.0, and this machine has" in result.stderr
    assert "Work is refused until" in result.stderr
    answer = json.loads(call("doctor", "--ray", "head:6379", "--json").stdout)
    assert [node["gpus"] for node in answer["nodes"]] == [2, 0]
    del nodes[1]
    said = call("doctor", "--ray", "head:6379").stderr
    assert "A100 on near (a:1), H100 on near (a:1)" in said
    assert "Next: faithful generate --executor ray --ray head:6379" in said
