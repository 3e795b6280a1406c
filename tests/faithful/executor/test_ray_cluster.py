"""Clusters without a cluster: addresses, room, versions and folders that nodes do not see."""

import socket
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.executor import ray_cluster
from faithful.executor.protocol import Share
from faithful.executor.ray_cluster import RayNode, RayPlace, connected, differences, mixture, on_ray
from faithful.executor.ray_host import look
from faithful.executor.where import at, current_place, refuse_missing_gpus, share_of
from generation.sampling.engine import EngineSettings
from generation.writing.identity import engine_identity

NODES = [
    {"Alive": True, "NodeID": "a", "Resources": {"CPU": 8.0, "GPU": 3.0}},
    {"Alive": True, "NodeID": "b", "Resources": {"CPU": 5.0}},
]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two nodes, one of them with GPUs."""
    nodes = [dict(node) for node in NODES]
    monkeypatch.setattr(ray_cluster, "_alive", lambda: nodes)
    return nodes


def test_as_many_workers_as_the_nodes_have_room_for(nodes: list[dict[str, Any]]) -> None:
    where = RayPlace()
    assert (where.gpus(), where.device) == (3, "cuda")
    assert where.count(None, Share("cpu", 2)) == 6  # four and two
    assert where.count(None, Share("cuda")) == 3
    assert where.count(None, Share("cuda", gpus=2)) == 1
    assert where.count(7, Share("cpu")) == 7
    for workers in (None, 1):
        with pytest.raises(FaithfulError, match="No node of the cluster has the 9 CPUs that a worker is to have"):
            where.count(workers, Share("cpu", 9))
        with pytest.raises(FaithfulError, match="No node of the cluster has the 4 GPUs"):
            where.count(workers, Share("cuda", gpus=4))
    with at(where):
        assert share_of("cpu", 4) == Share("cpu", 1)
        assert where.check_device(None) == "cuda"
        with pytest.raises(FaithfulError, match="--workers 4 needs as many GPUs, and there are 3"):
            share_of("cuda", 4)


def test_the_gpus_of_a_worker_are_on_one_node(nodes: list[dict[str, Any]]) -> None:
    nodes.append(nodes[0])
    with at(RayPlace()):
        refuse_missing_gpus(2, each=3)
        with pytest.raises(FaithfulError, match=r"6 GPUs, those of a worker on one node, .* are 6; .* --workers 2\."):
            refuse_missing_gpus(3, each=2)
        with pytest.raises(FaithfulError, match=r"are 6; use at most --tensor-parallel 3\."):
            refuse_missing_gpus(1, each=4)


def test_a_cluster_without_gpus_is_none_for_work_on_gpus(nodes: list[dict[str, Any]]) -> None:
    del nodes[0]
    with at(RayPlace()):
        assert RayPlace().check_device(None) == "cpu"
        with pytest.raises(FaithfulError, match="torch sees no GPU in the cluster"):
            RayPlace().check_device("cuda")


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:port", ":6379"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(FaithfulError, match="is no address; write HOST:PORT"), connected(address):
        pass


def test_an_address_that_nobody_answers_at_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with closing(socket.socket()) as busy:
        busy.bind(("127.0.0.1", 0))  # taken, but nobody listens
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with pytest.raises(FaithfulError, match=f"Nobody answers at --ray {address}"), connected(address):
            pass


def test_a_cluster_that_does_not_start_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def refuse(**stated: Any) -> None:
        assert Path(stated["_temp_dir"]).is_dir()
        raise RuntimeError("no port is free")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(FaithfulError, match="Ray cannot start here: no port is free"), connected():
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_nodes_have_otherwise_is_named() -> None:
    same = look(None, ())["versions"]
    nodes = [
        RayNode("a", 1, 0, same),
        RayNode("b", 1, 0, same | {"torch": "1.0"}),
        RayNode("c", 1, 0, {}, problem="No module named 'faithful'"),
    ]
    assert differences(nodes) == [
        f"b has torch 1.0, and this machine has {same['torch']}.",
        "c cannot load faithful: No module named 'faithful'.",
    ]


def computing(name: str, cpu: str, *gpus: str) -> RayNode:
    """A node with these processors."""
    return RayNode(name, 8, len(gpus), look(None, ())["versions"], {"cpu": [cpu], "cuda": list(gpus)})


@pytest.mark.parametrize(
    ("found", "device", "kind", "sentence"),
    [
        ([computing("a", "AVX2"), computing("b", "AVX512", "H100", "H100")], "cuda", "H100", ""),
        ([computing("a", "AVX2", "H100"), computing("b", "AVX2", "H100")], "cpu", "AVX2", ""),
        ([computing("a", "AVX2"), computing("b", "AVX512")], "cpu", "", "vector instructions (AVX2 on a, AVX512 on b)"),
        ([computing("a", "AVX2", "A100"), computing("b", "AVX2", "H100")], "cuda", "", "GPUs (A100 on a, H100 on b)"),
        ([computing("a", "AVX2", "A100", "H100")], "cuda", "", "GPUs (A100 on a, H100 on a)"),
        ([RayNode("a", 8, 1, {}, {"cpu": ["AVX2"], "cuda": []})], "cuda", "", "GPUs (none that torch sees on a)"),
    ],
)  # fmt: skip
def test_nodes_compute_with_one_kind_which_is_recorded(
    nodes: list[dict[str, Any]], found: list[RayNode], device: str, kind: str, sentence: str
) -> None:
    where = RayPlace(found)
    engine = EngineSettings("transformers", device, 1, 8, 24, deterministic=False)
    with at(where):
        if sentence:
            assert sentence in mixture(found, device)
            for refused in (lambda: where.check_device(device), lambda: engine_identity(engine)):
                with pytest.raises(FaithfulError, match="take nodes of one"):
                    refused()
            return
        assert where.check_device(device) == device and not mixture(found, device)
        assert engine_identity(engine)["device" if device == "cuda" else "instructions"] == kind


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (RayNode("far", 1, 0, {"torch": "1.0"}), r"far has .*\. Install the same versions on every node\."),
        (RayNode("far", 1, 0, {}, problem="no module"), r"far cannot load faithful: no module\. Install"),
    ],
    ids=["versions", "problem"],
)
def test_a_cluster_of_other_versions_is_refused(node: RayNode, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [computing("near", "AVX2")]
    monkeypatch.setattr(ray_cluster, "connected", lambda address: nullcontext())
    monkeypatch.setattr(ray_cluster, "look_at_nodes", lambda: found)
    with on_ray("head:6379") as where:
        assert where is current_place() and not where.is_here and where.processor("cpu") == "AVX2"
    found.append(node)
    with pytest.raises(FaithfulError, match=sentence), on_ray("head:6379"):
        pass


def test_a_folder_that_a_node_does_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def seen(token: Path, needed: list[Path]) -> list[RayNode]:
        asked.append((token, token.exists(), needed))
        return [RayNode("near", 1, 0, {}), RayNode("far", 1, 0, {}, unseen=(str(token),))][: len(asked)]

    monkeypatch.setattr(ray_cluster, "look_at_nodes", seen)
    RayPlace().refuse_unseen(tmp_path / "out", tmp_path)
    with pytest.raises(FaithfulError, match=f"far does not see {tmp_path / 'out'}; .* choose another --out"):
        RayPlace().refuse_unseen(tmp_path / "out", tmp_path)
    assert [(there, needed) for _, there, needed in asked] == [(True, [tmp_path])] * 2
    assert list((tmp_path / "out").iterdir()) == []


def test_a_node_that_cannot_be_asked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = RayNode("far", 1, 0, {}, problem="it did not answer")
    monkeypatch.setattr(ray_cluster, "look_at_nodes", lambda *_: [silent])
    with pytest.raises(FaithfulError, match=r"far cannot be asked what it sees: it did not answer\."):
        RayPlace().refuse_unseen(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
