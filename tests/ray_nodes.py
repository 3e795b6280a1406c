"""A Ray cluster on this machine, and what tests and benchmarks do to it."""

import contextlib
import os
import time
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


def kill_a_host(cluster: Any) -> bool:
    """SIGKILL the last host that has a worker's process; whether there was one, which may end by itself just then."""
    import psutil

    with contextlib.suppress(IndexError, psutil.NoSuchProcess):
        hosts(cluster)[-1].kill()
        return True
    return False


def wait_for_no_hosts(cluster: Any, seconds: float = 60) -> None:
    """Until those that were told to end, or lost their driver, are gone; at most so long."""
    deadline = time.monotonic() + seconds
    while hosts(cluster) and time.monotonic() < deadline:
        time.sleep(0.2)


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
    """Strikes at a cluster, up to so often, each time that there is something to strike."""

    def __init__(self, strike: Callable[[], bool], times: int = 1) -> None:
        """``strike`` says whether it struck: what it was for may be gone before it is reached, and is then tried again."""
        super().__init__(daemon=True)
        self.strike, self.times = strike, times
        self.stopped, self.done = Event(), 0

    def run(self) -> None:
        while self.done < self.times and not self.stopped.wait(0.1):
            self.done += self.strike()

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()
