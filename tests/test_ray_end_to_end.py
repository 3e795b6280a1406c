"""A real Ray cluster on this machine, a head and further raylets: the same bytes as one local run, whatever is killed."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faithful.base.progress import Progress
from faithful.store.corpus import read_manifest
from tests.command import data_bytes
from tests.ray_nodes import Killer, add_node, hosts, kill_a_host, local_cluster, orphans, wait_for_no_hosts

pytest.importorskip("ray")
psutil: Any = pytest.importorskip("psutil")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DRIVER = """
import sys
from pathlib import Path
from faithful.executor.ray_cluster import on_ray
from generation.own.generate import generate
from tests.test_ray_end_to_end import wish

if __name__ == "__main__":
    with on_ray(sys.argv[1]):
        generate(wish(Path(sys.argv[2])))
"""


def wish(out: Path) -> Any:
    """A corpus of ten shards."""
    from generation.configs.generate import GenerateConfig

    return GenerateConfig(
        model="tiny", out=out, tokens=6000, held_out=600, seed=7, shard_rows=12, batch=8, max_tokens=63,
        certify_tokens=0, device="cpu", engine="transformers",
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and a further raylet."""
    with local_cluster(2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as one local worker draws it, and SAEs as one process trains them."""
    from dataclasses import replace

    from faithful.training.train import train
    from generation.own.generate import generate

    folder = tmp_path_factory.mktemp("local")
    generate(replace(wish(folder / "own"), workers=1))
    train(grid(folder / "own", folder / "saes"))
    return folder


def grid(corpus: Path, out: Path) -> Any:
    """Four SAEs of two shapes."""
    from faithful.training.config import TrainConfig

    return TrainConfig(
        corpora=(corpus,), out=out, seeds=(0, 1), d_sae=(64, 96), k=(4,), tokens=4000, context=32, batch=256,
        eval_tokens=500, device="cpu", threads=1,
    )  # fmt: skip


def shards(out: Path) -> int:
    """Shards that are committed."""
    return len(list((out / "data").glob("*.parquet")))


def test_actors_and_a_raylet_are_lost_and_the_bytes_are_the_same(cluster: Any, local: Path, tmp_path: Path) -> None:
    from faithful.executor.ray_cluster import on_ray
    from generation.own.generate import generate

    out, told, before = tmp_path / "own", list[Progress](), orphans()
    extra = add_node(cluster)
    killed: list[int] = []

    def kill() -> bool:
        with contextlib.suppress(IndexError, psutil.NoSuchProcess):  # none is there, or it ends just then
            victim = hosts(cluster)[0]
            worker = victim.children()[0].pid
            victim.kill()
            killed.append(worker)
        return bool(killed)

    def remove() -> bool:
        cluster.remove_node(extra, allow_graceful=False)
        return True

    with (
        Killer(lambda: shards(out) >= 2 and kill()) as actor,
        Killer(lambda: shards(out) >= 5 and remove()) as raylet,
        on_ray(cluster.address),
    ):
        generate(wish(out), told.append)
    assert actor.done
    assert raylet.done
    assert data_bytes(out) == data_bytes(local / "own")
    assert read_manifest(out).identity == read_manifest(local / "own").identity
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in killed)
    wait_for_no_hosts(cluster)
    assert hosts(cluster) == []
    assert orphans().keys() <= before.keys()


def test_a_driver_killed_and_started_again_loses_and_doubles_nothing(cluster: Any, local: Path, tmp_path: Path) -> None:
    from faithful.executor.ray_cluster import on_ray
    from generation.own.generate import generate

    out, script = tmp_path / "own", tmp_path / "driver.py"
    script.write_text(DRIVER)
    with subprocess.Popen([sys.executable, str(script), cluster.address, str(out)]) as driver:
        while shards(out) < 2 and driver.poll() is None:
            time.sleep(0.05)
        driver.kill()
    assert 2 <= shards(out) < shards(local / "own")
    wait_for_no_hosts(cluster)
    assert hosts(cluster) == []
    with on_ray(cluster.address):
        generate(wish(out))
    assert data_bytes(out) == data_bytes(local / "own")


def test_a_grid_and_a_study_are_the_same(cluster: Any, local: Path, tmp_path: Path) -> None:
    from faithful.executor.ray_cluster import on_ray
    from faithful.training.train import train
    from studies.fakes.config import STUDY, FakesConfig

    shutil.copytree(local / "own", tmp_path / "own")
    saes = tmp_path / "saes"
    study = {"corpora": (local / "own",), "tokens": 500, "noise_tokens": 2000, "device": "cpu"}

    with on_ray(cluster.address):
        with Killer(lambda: kill_a_host(cluster)) as trainer:  # while its worker loads torch, at the latest
            train(grid(tmp_path / "own", saes))
        wait_for_no_hosts(cluster)  # those of the grid, which the next one is not to strike
        with Killer(lambda: kill_a_host(cluster)) as student:
            STUDY.run(FakesConfig(saes=(local / "saes",), out=tmp_path / "far", **study), lambda _: None)
    assert trainer.done
    assert student.done
    weights = {path.relative_to(saes): path.read_bytes() for path in saes.rglob("sae_weights.safetensors")}
    assert len(weights) == 4
    assert weights == {path: (local / "saes" / path).read_bytes() for path in weights}
    STUDY.run(FakesConfig(saes=(local / "saes",), out=tmp_path / "near", **study), lambda _: None)
    assert (tmp_path / "far/results.parquet").read_bytes() == (tmp_path / "near/results.parquet").read_bytes()
