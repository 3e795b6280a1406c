"""A Ray cluster on this machine, and what tests and benchmarks do to it."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
STORE = 80 * 2**20
NODE = {"num_cpus": 1, "object_store_memory": STORE}


@contextmanager
def local_cluster(nodes: int) -> Iterator[Any]:
    """A head and further raylets, of a CPU each, whose workers find this package."""
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = patient(lambda: Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False}))
    try:
        for _ in range(nodes - 1):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> Any:
    """Another raylet."""
    return patient(lambda: cluster.add_node(**NODE))


def patient(begin: Callable[[], T]) -> T:
    """What begins at the third try at last: Ray gives a node half a minute, which a busy machine may not have for it."""
    for _ in range(2):
        with contextlib.suppress(Exception):
            return begin()
    return begin()


def hosts(cluster: Any) -> list[Any]:
    """Processes of hosts that have a worker's process, node by node."""
    import psutil

    found = []
    for node in cluster.list_all_nodes():
        for raylet in node.all_processes.get("raylet", []):
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(raylet.process.pid).children()
                found += [child for child in children if "Host" in " ".join(child.cmdline()) and child.children()]
    return found


def orphans() -> dict[int, str]:
    """Processes whose parents are gone, and that a worker may have been."""
    import psutil

    found = {}
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.ppid() == 1 and "multiprocessing" in " ".join(one.cmdline()):
                found[one.pid] = " ".join(one.cmdline())
    return found


class Killer(Thread):
    """Does something to a cluster each time that a condition holds, up to so often."""

    def __init__(self, condition: Callable[[], bool], act: Callable[[], Any], times: int = 1) -> None:
        super().__init__(daemon=True)
        self.condition, self.act, self.times = condition, act, times
        self.stopped, self.done = Event(), 0

    def run(self) -> None:
        while self.done < self.times and not self.stopped.wait(0.1):
            if self.condition():
                self.act()
                self.done += 1

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()
